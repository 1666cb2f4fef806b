"""From trained networks to a checkpoint: folded, stored small, described by a card."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from worker.model import checkpoint, weights_io
from worker.model.folding import fold_network
from worker.model.network import TRAINING_MEAN_AB


def export(
    folder: Path,
    name: str,
    network: keras.Model,
    layers: weights_io.Layers,
    embedding: Mapping[str, Any],
    training: Mapping[str, Any],
    limits: tuple[str, ...] = (),
) -> checkpoint.Card:
    """Writes the checkpoint `folder`: the network's weights, the embedding's and the card.

    `network` is a `build_network(batch_norm=True)`, `layers` a folded embedding, described by `embedding`
    (architecture, origin, input_px, temperature). A checkpoint already there is replaced whole, at the end.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as made:
        new = Path(made) / "new"
        new.mkdir()
        names = weights_io.write_fusion(new, fold_network(network)) + weights_io.write_embedding(new, layers)
        files = {file: checkpoint.file_sha256(new / file) for file in names}
        card = checkpoint.Card(
            id=checkpoint.checkpoint_id(files),
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            network=checkpoint.NETWORK,
            head=network.name.removeprefix("fusion_"),
            embedding=dict(embedding),
            files=files,
            training_mean_ab=TRAINING_MEAN_AB,
            training=dict(training),
            limits=limits,
        )
        checkpoint.write_card(new, card)
        _swap(new, folder, Path(made) / "old")
    return card


def add_figures(folder: Path, figures: Mapping[str, Any]) -> checkpoint.Card:
    """Writes what `evaluate` measured into the card; the weights, and so the id, stay."""
    card = replace(checkpoint.verify(folder), figures=dict(figures))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".card-") as made:
        checkpoint.write_card(Path(made), card)
        (Path(made) / checkpoint.CARD_FILE).replace(folder / checkpoint.CARD_FILE)
    return card


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        shutil.move(folder, old)
    new.rename(folder)
