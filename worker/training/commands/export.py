"""`python -m worker.training export`."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from worker.model.classifiers import compact, inception_resnet_v2
from worker.model.network import build_network
from worker.training.data.photo_cache import open_cache
from worker.training.data.soft_targets import bin_prior, take_back_rebalancing
from worker.training.export.checkpoint import TrainedEmbedding
from worker.training.export.checkpoint import export as export_checkpoint
from worker.training.fitting import distillation as distilling


def export(options: Namespace) -> None:
    """Writes a checkpoint folder. The JSON file `--about` describes each embedding under its name."""
    description: dict[str, Any] = json.loads(options.about.read_text(encoding="utf-8"))
    network = build_network(options.heads, size=None)
    network.load_weights(options.fusion)
    if options.heads != "paper":
        take_back_rebalancing(network, bin_prior(open_cache(options.cache)))
    embeddings = {
        name: _trained(name, weights, description["embeddings"][name])
        for name, weights in (("inception_resnet_v2", options.embedding), ("compact", options.compact))
        if weights is not None
    }
    card = export_checkpoint(
        options.checkpoint, options.name, network, embeddings, description["training"], tuple(description["limits"]),
        head=options.head, embedding=options.best, annealing_temperature=options.annealing_temperature,
    )  # fmt: skip
    print(f"checkpoint {card.id} written to {options.checkpoint}")


def _trained(name: str, weights: Path, description: dict[str, Any]) -> TrainedEmbedding:
    architecture = "compact" if name == "compact" else "inception_resnet_v2"
    classifier = distilling.BUILDERS[architecture](description["input_px"])
    classifier.load_weights(weights)
    folded = compact.fold(classifier) if architecture == "compact" else inception_resnet_v2.fold(classifier)
    return TrainedEmbedding(folded, {"architecture": architecture, **description})
