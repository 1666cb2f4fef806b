"""`photochrom cross-fit`: each photo's colours, predicted by a model that was fitted on the other photos."""

from argparse import Namespace
from pathlib import Path

import numpy as np

from worker.model import checkpoint
from worker.model.classifiers.embedding import load_embedding
from worker.system.whole_files import write_beside_then_rename
from worker.training.commands.arguments import numbers, read_cache
from worker.training.data.feature_maps import CELLS, Features, load_features, own_features
from worker.training.data.folds import Folds, folds_by_source
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photo_places import PhotoPlaces
from worker.training.errors import TrainingError
from worker.training.fitting.cross_fit import CrossFitConfig, predict_out_of_fold


def cross_fit(arguments: Namespace) -> None:
    """Fits on folds of the photos, and writes `--output`.

    The file holds names; ab of 16x16 cells of each photo's centre square; fold, the number of each photo's fold, or -1
    of a photo kept for validation; divided_sources, the sources that are in several folds.
    """
    if arguments.output.is_dir():
        raise TrainingError(f"--output {arguments.output} is a folder; expected a file's name, such as expected.npz")
    if arguments.folds < 2 or arguments.epochs < 1:
        raise TrainingError(
            f"--folds {arguments.folds} --epochs {arguments.epochs} was given; expected 2 and 1 at least"
        )
    folder = arguments.cache or arguments.output.parent / "photos"
    cache = read_cache(arguments, folder)
    weights = cache.weights(np.arange(len(cache.names)), numbers("--weight", arguments.weight, cache))
    folds = folds_by_source(cache.names, cache.sources, cache.training, arguments.folds)
    _say(str(folds))
    places = PhotoPlaces(cache, _features(arguments, cache, folder))
    config = CrossFitConfig(arguments.epochs, seed=arguments.seed)
    predicted = predict_out_of_fold(places, folds, weights, cache.validation, config, _say)
    _write(arguments.output, cache, folds, predicted.reshape(-1, CELLS, CELLS, 2).astype(np.float16))
    _say(f"{arguments.output} written; give it to photochrom train as --expected-colours, with the same --keep")


def _features(arguments: Namespace, cache: PhotoCache, folder: Path) -> Features:
    if arguments.features is not None:
        return load_features(arguments.features, cache.names)
    source = arguments.checkpoint or checkpoint.bundled_checkpoint_path()
    embedding = load_embedding(arguments.embedding, source, checkpoint.verify(source))
    return own_features(cache, embedding, folder, _say)


def _write(path: Path, cache: PhotoCache, folds: Folds, predicted: Features) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # NumPy gets a file, because it would add a suffix to a name.
        with write_beside_then_rename(path) as new, new.open("wb") as file:
            divided = np.array(folds.divided_sources, np.str_)
            np.savez(file, names=cache.names, ab=predicted, fold=folds.numbers, divided_sources=divided)
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error}); make room or name another --output") from None


def _say(line: str) -> None:
    print(line, flush=True)
