"""`photochrom evaluate`: measures every head with every embedding, and with stand-ins that should be worse."""

import csv
import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worker.model import checkpoint
from worker.model.checkpoint import checkpoint_folder
from worker.model.classifiers.embedding import load_embedding
from worker.model.colorizer import SIDE_PX, Colorizer
from worker.model.network import HEADS
from worker.training.data.embedder import Embedder
from worker.training.evaluation import evaluate as measuring
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.evaluation.evaluate import Floats, Photos
from worker.training.export.checkpoint import add_figures

STAND_INS = ("others", "zeros")  # other photos' embeddings, and none; with these a network should be worse
Figures = dict[str, dict[str, Any]]


def evaluate(arguments: Namespace) -> None:
    """Measures a checkpoint with its own embeddings, with zeros, and with other photos' embeddings."""
    folder = checkpoint_folder(arguments.checkpoint)
    card = checkpoint.verify(folder)
    photos = measuring.load_photos(arguments.folder, arguments.limit)
    baseline_scores = measuring.baselines(photos, card.training_mean_ab)
    best = checkpoint.head_of(card, arguments.head)
    heads = [best] if arguments.head else [best, *(head for head in HEADS if head in card.heads and head != best)]
    figures: Figures = {}
    results: dict[str, Floats] = {}
    colorizer = Colorizer.load(folder, arguments.batch_size, arguments.embedding, best)
    encoded = colorizer.encode(photos.lightness)
    print(measuring.heading())
    for name, embeddings in _embeddings(arguments, photos, colorizer):
        colours = colorizer.decode(encoded, embeddings)
        for head in heads if name not in STAND_INS else heads[:1]:
            row = f"{head} head, embedding {name}"
            figures[row] = measuring.evaluate(photos, colours.ab[head], colours.certainty, baseline_scores)
            print(measuring.line(row, figures[row]["model"]), flush=True)
            if name not in STAND_INS:
                results[row] = colours.ab[head][_shown(arguments, photos)]
    plate = colorizer.predict_heads(measuring.plate_lightness(photos))
    for head in heads:
        row = f"{head} head, seen as by an orthochromatic plate"
        figures[row] = measuring.evaluate(photos, plate.ab[head], plate.certainty, baseline_scores)
        print(measuring.line(row, figures[row]["model"]), flush=True)
    _print_baselines(next(iter(figures.values())))
    _write_files(arguments, photos, figures, results)
    if arguments.into_card:
        add_figures(folder, card_figures(figures))


def _print_baselines(first: dict[str, Any]) -> None:
    """They are the same for every head and embedding, so the first row's are printed."""
    for baseline in ("grey", "tint"):
        print(measuring.line(f"{baseline} baseline", first[baseline]))
    print(measuring.line("the originals", first["original"]))
    print(measuring.line("the paper's own, on its photos", measuring.PAPER))


def _write_files(arguments: Namespace, photos: Photos, figures: Figures, results: dict[str, Floats]) -> None:
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        _write_csv(arguments.json.with_suffix(".csv"), photos.names, figures)
    if arguments.sheet:
        shown = _shown(arguments, photos)
        contact_sheet(
            arguments.sheet,
            photos.lightness[shown],
            [*results.values(), photos.ab[shown]],
            columns=2,
            labels=["grey", *results, "the original"],
        )
        print(f"{arguments.sheet}: grey; {'; '.join(results)}; the original")


def card_figures(figures: Figures) -> dict[str, Any]:
    """The figures of `evaluate` that a card has: all except those of single photos."""
    first = next(iter(figures.values()))
    models = {name: values["model"] for name, values in figures.items()}
    return {"photos": first["photos"], "grey baseline": first["grey"], "tint baseline": first["tint"], **models}


def _embeddings(arguments: Namespace, photos: Photos, colorizer: Colorizer) -> Iterator[tuple[str, Floats]]:
    """The embeddings to measure with, by name: first the real ones, then the stand-ins."""
    yield colorizer.embedding, colorizer.embed(photos.lightness)
    if not arguments.embedding:
        for name in colorizer.card.embeddings:
            if name != colorizer.embedding:
                folder = checkpoint_folder(arguments.checkpoint)
                yield name, Embedder(load_embedding(name, folder, colorizer.card), SIDE_PX)(photos.lightness)
    for path in arguments.embedding_npz:
        yield path.stem, measuring.embeddings_for(str(path), photos, colorizer)
    for name in STAND_INS:
        yield name, measuring.embeddings_for(name, photos, colorizer)


def _shown(arguments: Namespace, photos: Photos) -> Any:
    count = len(photos.names)
    return np.linspace(0, count - 1, min(arguments.sheet_photos, count)).astype(int)


def _write_csv(path: Path, names: list[str], figures: Figures) -> None:
    """One row for each photo, head and embedding."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "model", *measuring.COLUMNS, "psnr_grey", "psnr_tint"])
        for source, values in figures.items():
            scores = values["per_photo"]
            for row, name in enumerate(names):
                model_scores = [scores["model"][column][row] for column in measuring.COLUMNS]
                writer.writerow([name, source, *model_scores, scores["grey"]["psnr"][row], scores["tint"]["psnr"][row]])
