"""`python -m worker.training yardstick`: measures a checkpoint on each of the seven sources that no training
run sees.
"""

import json
from argparse import Namespace

from worker.model.checkpoint import checkpoint_folder
from worker.model.colorizer import Colorizer
from worker.training.evaluation import yardstick_photos
from worker.training.evaluation.words import figures_in_words
from worker.training.evaluation.yardstick_photos import SourceFigures
from worker.training.views.photo_looks import ORTHOCHROMATIC, PANCHROMATIC
from worker.training.views.square_cache import open_square_cache

PLATES = {"panchromatic": PANCHROMATIC, "orthochromatic": ORTHOCHROMATIC}


def yardstick(options: Namespace) -> None:
    """Prints a line for each head, plate and source, and the mean over sources. `--json` stores the means."""
    cache = open_square_cache(options.work / "squares")
    colorizer = Colorizer.load(
        checkpoint_folder(options.checkpoint),
        options.batch_size,
        options.embedding,
        precision=options.precision,
        input_px=options.input_px,
    )
    means = {}
    for plate in options.plates:
        for head, figures in yardstick_photos.measure(colorizer, cache, PLATES[plate], options.photos).items():
            for name, of_source in figures.items():
                print(f"{head} head, {plate}, {name}: {_line(of_source)}", flush=True)
            row = f"{head} head, {plate}"
            means[row] = yardstick_photos.means(figures)
            print(f"{row}, the mean over sources: {figures_in_words(means[row])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(means, indent=1) + "\n", encoding="utf-8")


def _line(figures: SourceFigures) -> str:
    parts = ", ".join(f"{name} R2 {errors.r2:.3f} G {errors.gain:.3f}" for name, errors in figures.errors.items())
    spread = f"spread {figures.spread:.1f} of {figures.true_spread:.1f}"
    hue = f"hue {figures.hue_spread:.0f} of {figures.true_hue_spread:.0f} degrees"
    return f"{parts}, {figures.psnr_above_grey:+.2f} dB above grey, {spread}, {hue}"
