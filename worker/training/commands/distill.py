"""`python -m worker.training distill`."""

from argparse import Namespace
from dataclasses import asdict

from worker.training.commands.arguments import read_cache, schedule
from worker.training.data.class_logits import load_logits
from worker.training.evaluation.loss_curves import loss_curves
from worker.training.export.run_outputs import _write_settings
from worker.training.fitting import distillation as distilling
from worker.training.fitting.last_layer import refit_last_layer

REFITTED_FILE = "refitted.weights.h5"  # what `distill` leaves for `export`; state.weights.h5 is for --resume


def distill(given: Namespace) -> None:
    """Trains the embedding; the state, the settings and the loss curves go into `--output`."""
    cache = read_cache(given, given.cache or given.output / "photos")
    settings = distilling.Settings(
        architecture=given.architecture, side_px=given.side_px, batch_size=given.batch_size, seed=given.seed,
        mixed_precision=given.precision, schedule=schedule(given),
    )  # fmt: skip
    teacher = load_logits(given.logits, cache.names)
    _write_settings(given.output, cache, asdict(settings))
    model, history = distilling.distill(cache, teacher, settings, given.output, given.start_from, given.resume)
    loss_curves(given.output / "curves.png", history)
    print(refit_last_layer(model, cache, teacher, settings.side_px), flush=True)
    model.save_weights(given.output / REFITTED_FILE)
