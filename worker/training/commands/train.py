"""`photochrom train`: train the fusion network on colour photos."""

from argparse import Namespace
from dataclasses import asdict

from worker.model.checkpoint import checkpoint_folder
from worker.training.augmentation.draws import Zoom
from worker.training.commands.arguments import learning_rate_schedule, licences_of, numbers, read_cache
from worker.training.data.class_logits import load_logits
from worker.training.data.computed_logits import own_logits
from worker.training.data.out_of_fold_targets import load_out_of_fold_targets
from worker.training.data.photo_cache import PhotoCache
from worker.training.errors import TrainingError
from worker.training.evaluation.loss_curves import loss_curves
from worker.training.export.run_outputs import (
    add_doubt,
    base_embeddings,
    write_checkpoint,
    write_settings,
    write_sheet,
)
from worker.training.fitting import fusion
from worker.training.fitting.fusion import FusionConfig


def train(arguments: Namespace) -> None:
    """Trains the fusion network; state, settings, loss curves, contact sheet and a checkpoint go into `--output`."""
    start_from = arguments.start_from and checkpoint_folder(arguments.start_from)
    if start_from is not None:
        fusion.check_start(start_from)
    folder = arguments.cache or arguments.output / "photos"
    cache = read_cache(arguments, folder)
    config = _config(arguments, cache)
    licences = licences_of(arguments.licence, cache)
    embeddings = base_embeddings(arguments.embedding, checkpoint_folder(arguments.checkpoint))
    logits_by_path = {path: load_logits(path, cache.names) for path in arguments.logits}
    sources = [logits_by_path[path] for path in arguments.logits]  # a file that is named twice is used twice as often
    if not sources:
        sources = [own_logits(cache, embedding, folder, print) for embedding in embeddings]
    validation_logits = [load_logits(path, cache.names) for path in arguments.validation_logits]
    out_of_fold = arguments.expected_colours and load_out_of_fold_targets(
        arguments.expected_colours, cache.names, arguments.expected_share, arguments.final_expected_share
    )
    choices = {
        "expected_share": arguments.expected_share if out_of_fold else 0.0,
        "final_expected_share": arguments.final_expected_share if out_of_fold else 0.0,
        "kept_one_in": dict(cache.kept_one_in),
    }
    write_settings(arguments.output, cache, asdict(config) | choices)
    model, history = fusion.train(
        cache, sources, config, arguments.output, start_from, arguments.resume, validation_logits, out_of_fold,
        arguments.began,
    )  # fmt: skip
    loss_curves(arguments.output / "curves.png", history)
    card = write_checkpoint(arguments.output / "checkpoint", model, embeddings, arguments.output, licences)
    add_doubt(arguments.output / "checkpoint", cache)
    write_sheet(arguments.output / "contact.png", arguments.output / "checkpoint", cache)
    print(
        f"checkpoint {card.id} written to {arguments.output / 'checkpoint'}; look at {arguments.output / 'contact.png'}"
    )


def _config(arguments: Namespace, cache: PhotoCache) -> FusionConfig:
    """Raises TrainingError for a share that is none."""
    _expect_share("--looks", arguments.looks, "the crops")
    _expect_share("--expected-share", arguments.expected_share, "the targets")
    _expect_share("--final-expected-share", arguments.final_expected_share, "the targets")
    return FusionConfig(
        side_px=arguments.side_px, batch_size=arguments.batch_size, zoom=Zoom(*arguments.zoom_px), head=arguments.head,
        seed=arguments.seed, mixed_precision=arguments.precision, schedule=learning_rate_schedule(arguments),
        looks=arguments.looks, weights=numbers("--weight", arguments.weight, cache),
    )  # fmt: skip


def _expect_share(option: str, share: float, whole: str) -> None:
    if not 0 <= share <= 1:
        raise TrainingError(f"{option} {share:g} was given; expected a share of {whole}, 0 to 1")
