"""From trained networks to a checkpoint: folded, stored small, described by a card."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model import checkpoint, weights
from worker.model.classifiers.features import FEATURES_PX
from worker.model.network import HEADS, TRAINING_MEAN_AB
from worker.model.norm_folding import fold_network

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TrainedEmbedding:
    """A classifier's folded layers, and its description for the card: architecture, weights, input_px, temperature."""

    layers: weights.Layers
    description: Mapping[str, Any]


@dataclass(frozen=True)
class TrainedFeatures:
    """The map's feature network: its folded layers, and its description for the card: licence and origin."""

    layers: weights.Layers
    description: Mapping[str, Any]


def export(
    folder: Path,
    name: str,
    network: keras.Model,
    embeddings: Mapping[str, TrainedEmbedding],
    training: Mapping[str, Any],
    limits: tuple[str, ...] = (),
    **options: Any,
) -> checkpoint.Card:
    """Writes the checkpoint of a `build_network(batch_norm=True)`; the options are those of `export_weights`."""
    heads = HEADS if network.name == "fusion_both" else (network.name.removeprefix("fusion_"),)
    return export_weights(folder, name, fold_network(network), heads, embeddings, training, limits, **options)


def export_weights(
    folder: Path, name: str, fusion: Mapping[str, Floats], heads: tuple[str, ...],
    embeddings: Mapping[str, TrainedEmbedding], training: Mapping[str, Any], limits: tuple[str, ...] = (),
    head: str | None = None, embedding: str | None = None, features: TrainedFeatures | None = None,
    training_mean_ab: tuple[float, float] = TRAINING_MEAN_AB, **card_fields: Any,
) -> checkpoint.Card:  # fmt: skip
    """Writes the checkpoint `folder`: the weights of the network and of the embeddings, and the card.

    `fusion` are the folded weights by layer. `head` and `embedding` are those that workers use by default; without
    them, the first ones. `features` belong to a network with a map. `card_fields` are other fields of the card, such as
    `input_px`. An existing checkpoint is replaced completely, at the end.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        shards = {key: weights.write_embedding(new, key, one.layers) for key, one in embeddings.items()}
        feature_files = weights.write_features(new, features.layers) if features else []
        names = [*weights.write_fusion(new, fusion), *(file for key in shards for file in shards[key]), *feature_files]
        files = {file: checkpoint.file_sha256(new / file) for file in names}
        card = checkpoint.Card(
            id=checkpoint.checkpoint_id(files), name=name, created=datetime.now(UTC).isoformat(timespec="seconds"),
            network=checkpoint.NETWORK, head=head or heads[0], heads=heads,
            embedding=embedding or next(iter(embeddings)),
            embeddings={key: {**one.description, "files": shards[key]} for key, one in embeddings.items()},
            files=files, training_mean_ab=training_mean_ab, training=dict(training), limits=limits,
            features={**features.description, "input_px": FEATURES_PX, "files": feature_files} if features else None,
            **card_fields,
        )  # fmt: skip
        checkpoint.write_card(new, card)
        _swap(new, folder, Path(scratch) / "old")
    return card


def share_embeddings(folder: Path, sibling: Path) -> checkpoint.Card:
    """Removes the files of the embeddings from the checkpoint in `folder`, which then uses those of the checkpoint
    beside it.

    `sibling` is the checkpoint beside it, from which its training started.
    """
    card, other = checkpoint.verify(folder), checkpoint.read_card(sibling)
    own_files = {file for one in card.embeddings.values() for file in one["files"]}
    shared = {file: other.files[file] for one in other.embeddings.values() for file in one["files"]}
    files = {file: digest for file, digest in card.files.items() if file not in own_files} | shared
    card = replace(
        card, id=checkpoint.checkpoint_id(files), files=files, embeddings=other.embeddings, embeddings_from=sibling.name
    )
    checkpoint.write_card(folder, card)
    for file in own_files:
        (folder / file).unlink()
    return card


def add_figures(folder: Path, figures: Mapping[str, Any]) -> checkpoint.Card:
    """Writes what `evaluate` measured into the card; the weights, and so the id, stay."""
    card = replace(checkpoint.verify(folder), figures=dict(figures))
    checkpoint.write_card(folder, card)
    return card


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        shutil.move(folder, old)
    new.rename(folder)
