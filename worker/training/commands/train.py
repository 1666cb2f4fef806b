"""`photochrom train`: train the fusion network on colour photos."""

from argparse import Namespace
from dataclasses import asdict

from worker.model.checkpoint import checkpoint_folder
from worker.training.augmentation.draws import Zoom
from worker.training.commands.arguments import licences_of, numbers, read_cache, schedule
from worker.training.data.class_logits import load_logits
from worker.training.data.computed_logits import own_logits
from worker.training.data.out_of_fold_targets import load_expected_colours
from worker.training.data.photo_cache import PhotoCache
from worker.training.errors import TrainingError
from worker.training.evaluation.loss_curves import loss_curves
from worker.training.export.run_outputs import (
    _write_settings,
    add_doubt,
    base_embeddings,
    write_checkpoint,
    write_sheet,
)
from worker.training.fitting import fusion as training


def train(arguments: Namespace) -> None:
    """Trains the fusion network; state, settings, loss curves, contact sheet and a checkpoint go into `--output`."""
    start_from = arguments.start_from and checkpoint_folder(arguments.start_from)
    if start_from is not None:
        training.check_start(start_from)
    folder = arguments.cache or arguments.output / "photos"
    cache = read_cache(arguments, folder)
    settings = _settings(arguments, cache)
    licences = licences_of(arguments.licence, cache)
    embeddings = base_embeddings(arguments.embedding, checkpoint_folder(arguments.checkpoint))
    logits_by_path = {path: load_logits(path, cache.names) for path in arguments.logits}
    sources = [logits_by_path[path] for path in arguments.logits]  # a file that is named twice is used twice as often
    if not sources:
        sources = [own_logits(cache, embedding, folder, print) for embedding in embeddings]
    unmet = [load_logits(path, cache.names) for path in arguments.unmet_logits]
    expected = arguments.expected_colours and load_expected_colours(
        arguments.expected_colours, cache.names, arguments.expected_share
    )
    choices = {"expected_share": arguments.expected_share if expected else 0.0, "kept_one_in": dict(cache.kept_one_in)}
    _write_settings(arguments.output, cache, asdict(settings) | choices)
    model, history = training.train(
        cache, sources, settings, arguments.output, start_from, arguments.resume, unmet, expected, arguments.began
    )
    loss_curves(arguments.output / "curves.png", history)
    card = write_checkpoint(arguments.output / "checkpoint", model, embeddings, arguments.output, licences)
    add_doubt(arguments.output / "checkpoint", cache)
    write_sheet(arguments.output / "contact.png", arguments.output / "checkpoint", cache)
    print(
        f"checkpoint {card.id} written to {arguments.output / 'checkpoint'}; look at {arguments.output / 'contact.png'}"
    )


def _settings(arguments: Namespace, cache: PhotoCache) -> training.Settings:
    """Raises TrainingError for a share that is none."""
    if not 0 <= arguments.looks <= 1:
        raise TrainingError(f"--looks {arguments.looks:g} was given; expected a share of the crops, 0 to 1")
    return training.Settings(
        side_px=arguments.side_px, batch_size=arguments.batch_size, zoom=Zoom(*arguments.zoom_px), head=arguments.head,
        seed=arguments.seed, mixed_precision=arguments.precision, schedule=schedule(arguments), looks=arguments.looks,
        weights=numbers("--weight", arguments.weight, cache),
    )  # fmt: skip
