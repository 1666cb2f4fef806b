"""`photochrom evaluate`: measures every head with every embedding, and with stand-ins that should be worse."""

import csv
import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.model import checkpoint
from worker.model.checkpoint import Card, checkpoint_folder
from worker.model.classifiers.embedding import load_embedding
from worker.model.colorizer import SIDE_PX, Colorizer
from worker.model.network import HEADS, Head
from worker.training.data.embedder import BATCH as EMBEDDED_AT_ONCE
from worker.training.data.embedder import Embedder
from worker.training.evaluation import evaluate as measuring
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.evaluation.evaluate import Floats, Photos, Scores
from worker.training.export.checkpoint import add_figures

STAND_INS = ("others", "zeros")  # other photos' embeddings, and none; with these a network should be worse
PHOTOS_AT_ONCE = 64  # in memory, 2 MB each and as much again for each result
Figures = dict[str, dict[str, Any]]


def evaluate(arguments: Namespace) -> None:
    """Measures a checkpoint with its own embeddings, with zeros, and with other photos' embeddings."""
    folder = checkpoint_folder(arguments.checkpoint)
    card = checkpoint.verify(folder)
    best = checkpoint.head_of(card, arguments.head)
    heads = [best] if arguments.head else [best, *(head for head in HEADS if head in card.heads and head != best)]
    colorizer = Colorizer.load(folder, arguments.batch_size, arguments.embedding, best)
    names, embeddings = _embeddings(arguments, colorizer)
    measurement = _Measurement(card, _shown(arguments, len(names)))
    first = 0
    for photos in _blocks(arguments, arguments.batch_size):
        end = first + len(photos.names)
        of_block = {name: vectors[first:end] for name, vectors in embeddings.items()}
        _measure(measurement, photos, colorizer, of_block, heads)
        first = end
    figures = measurement.figures()
    print(measuring.heading())
    for row, values in figures.items():
        print(measuring.line(row, values["model"]))
    _print_baselines(next(iter(figures.values())))
    _write_files(arguments, names, figures, measurement)
    if arguments.into_card:
        add_figures(folder, card_figures(figures))


def _blocks(arguments: Namespace, batch: int) -> Iterator[Photos]:
    """The photos, at most 64 at a time, or one batch if that is larger, so that memory stays bounded.

    All blocks but the last are whole batches, so each photo is computed in the same batch as if all photos were one
    block.
    """
    return measuring.photo_blocks(arguments.folder, arguments.limit, batch * max(1, PHOTOS_AT_ONCE // batch))


class _Measurement:
    """Collects scores, block by block, and the results that the contact sheet shows."""

    def __init__(self, card: Card, shown: NDArray[np.intp]) -> None:
        self._card = card
        self._shown = shown
        self._first, self._count = 0, 0  # the number of the block's first photo, and how many there are
        self._baselines: list[dict[str, Scores]] = []
        self._scores: dict[str, list[Scores]] = {}
        self._certainty: dict[str, list[Floats]] = {}
        self._results: dict[str, list[Floats]] = {}
        self._originals: list[tuple[Floats, Floats]] = []

    def begin(self, photos: Photos) -> None:
        """Goes on to the next block."""
        self._first += self._count
        self._count = len(photos.names)
        self._baselines.append(measuring.baselines(photos, self._card.training_mean_ab))
        shown = self._shown_of_block()
        self._originals.append((photos.lightness[shown], photos.ab[shown]))

    def add(self, row: str, photos: Photos, ab: Floats, certainty: Floats, on_sheet: bool) -> None:
        """Scores a block's a*, b* (n, 400, 400, 2) and certainty (n,) for a row of the table."""
        self._scores.setdefault(row, []).append(measuring.scores_of(photos, ab))
        self._certainty.setdefault(row, []).append(certainty)
        if on_sheet:
            self._results.setdefault(row, []).append(ab[self._shown_of_block()])

    def figures(self) -> Figures:
        """The figures of each row over all photos."""
        baselines = {name: measuring.joined([block[name] for block in self._baselines]) for name in self._baselines[0]}
        return {
            row: measuring.evaluate(measuring.joined(parts), np.concatenate(self._certainty[row]), baselines)
            for row, parts in self._scores.items()
        }

    def sheet(self) -> tuple[Floats, dict[str, Floats], Floats]:
        """Of the photos on the contact sheet: L*, the a*, b* of each row, and those of the originals."""
        lightness, originals = (np.concatenate(parts) for parts in zip(*self._originals, strict=True))
        return lightness, {row: np.concatenate(parts) for row, parts in self._results.items()}, originals

    def _shown_of_block(self) -> NDArray[np.intp]:
        rows = self._shown - self._first
        return rows[(rows >= 0) & (rows < self._count)]


def _measure(
    measurement: _Measurement, photos: Photos, colorizer: Colorizer, embeddings: Mapping[str, Floats],
    heads: Sequence[Head],
) -> None:  # fmt: skip
    """Scores a block of photos with every embedding and head."""
    measurement.begin(photos)
    encoded = colorizer.encode(photos.lightness)
    for name, vectors in embeddings.items():
        colours = colorizer.decode(encoded, vectors)
        for head in heads if name not in STAND_INS else heads[:1]:
            row = f"{head} head, embedding {name}"
            measurement.add(row, photos, colours.ab[head], colours.certainty, name not in STAND_INS)
    plate = colorizer.predict_heads(measuring.plate_lightness(photos))
    for head in heads:
        row = f"{head} head, seen as by an orthochromatic plate"
        measurement.add(row, photos, plate.ab[head], plate.certainty, False)


def _print_baselines(first: dict[str, Any]) -> None:
    """They are the same for every head and embedding, so the first row's are printed."""
    for baseline in ("grey", "tint"):
        print(measuring.line(f"{baseline} baseline", first[baseline]))
    print(measuring.line("the originals", first["original"]))
    print(measuring.line("the paper's own, on its photos", measuring.PAPER))


def _write_files(arguments: Namespace, names: list[str], figures: Figures, measurement: _Measurement) -> None:
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        _write_csv(arguments.json.with_suffix(".csv"), names, figures)
    if arguments.sheet:
        lightness, results, originals = measurement.sheet()
        contact_sheet(
            arguments.sheet, lightness, [*results.values(), originals],
            columns=2, labels=["grey", *results, "the original"],
        )  # fmt: skip
        print(f"{arguments.sheet}: grey; {'; '.join(results)}; the original")


def card_figures(figures: Figures) -> dict[str, Any]:
    """The figures of `evaluate` that a card has: all except those of single photos."""
    first = next(iter(figures.values()))
    models = {name: values["model"] for name, values in figures.items()}
    return {"photos": first["photos"], "grey baseline": first["grey"], "tint baseline": first["tint"], **models}


def _embeddings(arguments: Namespace, colorizer: Colorizer) -> tuple[list[str], dict[str, Floats]]:
    """The names of the photos, and the embeddings (n, 1000) to measure with, by name: the real ones, the stand-ins."""
    folder = checkpoint_folder(arguments.checkpoint)
    embedders: dict[str, tuple[Callable[[Floats], Floats], int]] = {
        colorizer.embedding: (colorizer.embed, arguments.batch_size)
    }
    if not arguments.embedding:
        for name in colorizer.card.embeddings:
            if name != colorizer.embedding:
                embedder = Embedder(load_embedding(name, folder, colorizer.card), SIDE_PX)
                embedders[name] = embedder, EMBEDDED_AT_ONCE
    names: list[str] = []
    embeddings: dict[str, Floats] = {}
    for name, (embed, batch) in embedders.items():
        names, embeddings[name] = _embedded(arguments, embed, batch)
    predicted = embeddings[colorizer.embedding]
    for path in arguments.embedding_npz:
        embeddings[path.stem] = measuring.embeddings_for(str(path), names, predicted)
    return names, embeddings | {name: measuring.embeddings_for(name, names, predicted) for name in STAND_INS}


def _embedded(arguments: Namespace, embed: Callable[[Floats], Floats], batch: int) -> tuple[list[str], Floats]:
    """The names of the photos, and their embeddings (n, 1000) by an embedding that works on `batch` at once.

    Each embedding reads the photos anew, because blocks that are whole batches for all of them may be very large.
    """
    names: list[str] = []
    parts: list[Floats] = []
    for photos in _blocks(arguments, batch):
        names += photos.names
        parts.append(embed(photos.lightness))
    return names, np.concatenate(parts)


def _shown(arguments: Namespace, count: int) -> NDArray[np.intp]:
    return np.linspace(0, count - 1, min(arguments.sheet_photos, count)).astype(np.intp)


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
