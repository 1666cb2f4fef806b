"""What a training run leaves for its users: a checkpoint with its card, and a contact sheet to look at."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from worker.model import checkpoint
from worker.model.classifiers.embedding import Embedding, load_embedding
from worker.model.colorizer import SIDE_PX, Colorizer
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import centre_square, square_lab, to_lab
from worker.training.errors import TrainingError
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.export.checkpoint import TrainedEmbedding, export

SHEET_PHOTOS = 12
DOUBTED_PHOTOS = 200  # on whose certainty the card says what is doubtful
BASE_NAMES = ("inception_resnet_v2", "compact")  # what a card may call an embedding of its own
LIMITS = (
    "Colours are guesses from grey, not findings about the past.",
    "Photographs unlike those in training data come out worse; measure with `photochrom evaluate` on your own.",
)


def write_checkpoint(
    folder: Path, model: keras.Model, embeddings: Sequence[Embedding], run: Path, licences: Mapping[str, str]
) -> checkpoint.Card:
    """Writes the checkpoint `folder` from a run, whose settings and history are in the folder `run`.

    An embedding whose weights come from elsewhere (imagenet, a file) is stored in the checkpoint as
    `inception_resnet_v2`.
    """
    record: dict[str, Any] = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    history: list[dict[str, float]] = json.loads((run / "history.json").read_text(encoding="utf-8"))
    data = [
        {"source": source, "licence": licences.get(source, "not given"), "photos": count}
        for source, count in sorted(record["photos"].items())
    ]
    training = {
        "data": data, "left_out": record["left_out"], "settings": record["settings"], "validation": history[-1],
    }  # fmt: skip
    kept = {_kept_name(one): TrainedEmbedding(one.layers, _about(one)) for one in embeddings}
    return export(folder, run.name, model, kept, training, LIMITS)


def base_embeddings(names: Sequence[str], folder: Path) -> list[Embedding]:
    """The embeddings with these names, or all embeddings of the checkpoint in `folder`, the best one first.

    Raises CheckpointError as `load_embedding`, and TrainingError if there are more than a checkpoint can keep.
    """
    card = checkpoint.verify(folder)
    chosen = names or sorted(card.embeddings, key=lambda name: name != card.embedding)
    embeddings = [load_embedding(name, folder, card) for name in chosen]
    if len({_kept_name(one) for one in embeddings}) < len(embeddings):
        raise TrainingError(
            f"--embedding {' '.join(chosen)}: a checkpoint keeps one InceptionResNetV2 and one compact embedding; "
            "give one of each"
        )
    return embeddings


def write_sheet(path: Path, folder: Path, cache: PhotoCache) -> None:
    """A PNG of photos kept from training: grey, by each head of the checkpoint in `folder`, and the original."""
    rows = np.random.default_rng(1).permutation(cache.validation)[:SHEET_PHOTOS]
    squares = [cv2.resize(np.asarray(centre_square(cache.photo(int(row)))), (SIDE_PX, SIDE_PX)) for row in rows]
    lab = np.stack([to_lab(np.asarray(square, np.uint8)) for square in squares])
    lightness = np.ascontiguousarray(lab[..., 0])
    card = checkpoint.read_card(folder)
    results = [Colorizer.load(folder, 4, head=head).predict(lightness)[0] for head in card.heads]
    contact_sheet(path, lightness, [*results, lab[..., 1:]], columns=2, labels=["grey", *card.heads, "the original"])


def add_doubt(folder: Path, cache: PhotoCache) -> checkpoint.Card:
    """Writes into the card below which certainty a tenth of the photos kept from training are, so that `review` lists
    this tenth. A checkpoint without a vivid head has no certainty, and its card is left as it is.
    """
    card = checkpoint.verify(folder)
    if "vivid" in card.heads:
        rows = np.random.default_rng(2).permutation(cache.validation)[:DOUBTED_PHOTOS]
        colorizer = Colorizer.load(folder, 1)
        squares = (square_lab(cache.photo(int(row)), SIDE_PX)[..., 0] for row in rows)
        certainty = [float(colorizer.predict(square[None])[1][0]) for square in squares]
        card = replace(card, doubtful_below=round(float(np.quantile(certainty, 0.1)), 3))
        checkpoint.write_card(folder, card)
    return card


def _kept_name(embedding: Embedding) -> str:
    return embedding.name if embedding.name in BASE_NAMES else "inception_resnet_v2"


def _about(embedding: Embedding) -> dict[str, Any]:
    return {
        "architecture": embedding.architecture,
        "weights": embedding.name,
        "input_px": embedding.side_px,
        "temperature": embedding.temperature,
    }


def write_settings(output: Path, cache: PhotoCache, settings: dict[str, Any]) -> None:
    """What a card needs to know of a run, beside its history."""
    output.mkdir(parents=True, exist_ok=True)
    record = {"photos": cache.by_folder(), "left_out": cache.census, "settings": settings}
    (output / "settings.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
