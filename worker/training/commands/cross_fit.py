"""`photochrom cross-fit`: each photo's colours, predicted by a model that was fitted on the other photos."""

from argparse import Namespace
from pathlib import Path

import numpy as np

from worker.model import checkpoint
from worker.model.embedding import load_embedding
from worker.training.commands.arguments import numbers, read_cache
from worker.training.data.feature_maps import Features, load_features, own_features
from worker.training.data.photo_cache import PhotoCache
from worker.training.errors import TrainingError
from worker.training.fitting import cross_fit as expecting


def cross_fit(given: Namespace) -> None:
    """Fits on folds of the photos and writes `--output`: names, and ab of each photo's centre square in cells."""
    if given.output.is_dir():
        raise TrainingError(f"--output {given.output} is a folder; expected a file's name, such as expected.npz")
    if given.folds < 2 or given.epochs < 1:
        raise TrainingError(f"--folds {given.folds} --epochs {given.epochs} was given; expected 2 and 1 at least")
    folder = given.cache or given.output.parent / "photos"
    cache = read_cache(given, folder)
    settings = expecting.Settings(
        given.folds, given.epochs, seed=given.seed, weights=numbers("--weight", given.weight, cache)
    )
    places = expecting.Places(cache, _features(given, cache, folder))
    expected = expecting.expect(cache, places, settings, _say)
    _write(given.output, cache, expected)
    _say(f"{given.output} written; give it to photochrom train as --expected-colours, with the same --keep")


def _features(given: Namespace, cache: PhotoCache, folder: Path) -> Features:
    if given.features is not None:
        return load_features(given.features, cache.names)
    source = given.checkpoint or checkpoint.bundled_checkpoint_path()
    embedding = load_embedding(given.embedding, source, checkpoint.verify(source))
    return own_features(cache, embedding, folder, _say)


def _write(path: Path, cache: PhotoCache, expected: Features) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"new-{path.name}")
        with new.open("wb") as file:  # NumPy would add a suffix to a name
            np.savez(file, names=cache.names, ab=expected)
        new.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error}); make room or name another --output") from None


def _say(line: str) -> None:
    print(line, flush=True)
