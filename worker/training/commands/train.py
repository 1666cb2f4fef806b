"""`photochrom train`: train the fusion network on colour photos."""

from argparse import Namespace
from dataclasses import asdict

from worker.model.checkpoint import bundled_checkpoint_path
from worker.training.commands.arguments import licences_of, numbers, read_cache, schedule
from worker.training.data.augment import Zoom
from worker.training.data.class_logits import load_logits
from worker.training.data.computed_logits import own_logits
from worker.training.data.out_of_fold_targets import load_expected_colours
from worker.training.evaluation.loss_curves import loss_curves
from worker.training.export.run_outputs import _write_settings, base_embeddings, write_checkpoint, write_sheet
from worker.training.fitting import fusion as training


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
