"""What `python -m worker.training` does, command by command."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.model import compact, inception_resnet_v2
from worker.model.checkpoint import bundled_checkpoint_path
from worker.model.network import build_network
from worker.training import distill as distilling
from worker.training import train as training
from worker.training.augment import Zoom
from worker.training.classifiers import load_logits
from worker.training.curves import loss_curves
from worker.training.dataset import PhotoCache, open_cache
from worker.training.evaluate_command import evaluate
from worker.training.expect_command import expect
from worker.training.expected_colours import load_expected_colours
from worker.training.export import TrainedEmbedding
from worker.training.export import export as export_checkpoint
from worker.training.finish import base_embeddings, write_checkpoint, write_sheet
from worker.training.given import licences_of, numbers, read_cache, schedule
from worker.training.own_logits import own_logits
from worker.training.refit import refit_last_layer
from worker.training.soft_colours import bin_prior, take_back_rebalancing

__all__ = ["distill", "evaluate", "expect", "export", "train"]

REFITTED_FILE = "refitted.weights.h5"  # what `distill` leaves for `export`; state.weights.h5 is for --resume


def train(given: Namespace) -> None:
    """Trains the fusion network; state, settings, loss curves, contact sheet and a checkpoint go into `--output`."""
    folder = given.cache or given.output / "photos"
    cache = read_cache(given, folder)
    settings = training.Settings(
        side_px=given.side_px, batch_size=given.batch_size, zoom=Zoom(*given.zoom_px), head=given.head,
        seed=given.seed, mixed_precision=given.precision, schedule=schedule(given),
        weights=numbers("--weight", given.weight, cache),
    )  # fmt: skip
    licences = licences_of(given.licence, cache)
    embeddings = base_embeddings(given.embedding, given.checkpoint or bundled_checkpoint_path())
    known = {path: load_logits(path, cache.names) for path in given.logits}
    sources = [known[path] for path in given.logits]  # one that is named twice is met twice as often
    if not sources:
        sources = [own_logits(cache, embedding, folder, print) for embedding in embeddings]
    unmet = [load_logits(path, cache.names) for path in given.unmet_logits]
    expected = given.expected_colours and load_expected_colours(
        given.expected_colours, cache.names, given.expected_share
    )
    beside = {"expected_share": given.expected_share if expected else 0.0, "kept_one_in": dict(cache.kept_one_in)}
    _write_settings(given.output, cache, asdict(settings) | beside)
    model, history = training.train(
        cache, sources, settings, given.output, given.start_from, given.resume, unmet, expected
    )
    loss_curves(given.output / "curves.png", history)
    card = write_checkpoint(given.output / "checkpoint", model, embeddings, given.output, licences)
    write_sheet(given.output / "contact.png", given.output / "checkpoint", cache)
    print(f"checkpoint {card.id} written to {given.output / 'checkpoint'}; look at {given.output / 'contact.png'}")


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


def export(given: Namespace) -> None:
    """Writes a checkpoint folder; each embedding is described in the JSON of `--about` under its name."""
    about: dict[str, Any] = json.loads(given.about.read_text(encoding="utf-8"))
    network = build_network(given.heads, size=None)
    network.load_weights(given.fusion)
    if given.heads != "paper":
        take_back_rebalancing(network, bin_prior(open_cache(given.cache)))
    embeddings = {
        name: _trained(name, weights, about["embeddings"][name])
        for name, weights in (("bundled", given.embedding), ("compact", given.compact))
        if weights is not None
    }
    card = export_checkpoint(
        given.checkpoint, given.name, network, embeddings, about["training"], tuple(about["limits"]),
        given.head, given.best, given.annealing_temperature,
    )  # fmt: skip
    print(f"checkpoint {card.id} written to {given.checkpoint}")


def _trained(name: str, weights: Path, about: dict[str, Any]) -> TrainedEmbedding:
    architecture = "compact" if name == "compact" else "inception_resnet_v2"
    classifier = distilling.BUILDERS[architecture](about["input_px"])
    classifier.load_weights(weights)
    folded = compact.fold(classifier) if architecture == "compact" else inception_resnet_v2.fold(classifier)
    return TrainedEmbedding(folded, {"architecture": architecture, **about})


def _write_settings(output: Path, cache: PhotoCache, settings: dict[str, Any]) -> None:
    """What a card needs to know of a run, beside its history."""
    output.mkdir(parents=True, exist_ok=True)
    known = {"photos": cache.by_folder(), "left_out": cache.census, "settings": settings}
    (output / "settings.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
