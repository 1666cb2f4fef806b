"""The out-of-fold targets of a recipe's stage `map`: `[map.out_of_fold]`."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from worker.system.whole_files import write_beside_then_rename
from worker.training.data.folds import folds_by_source
from worker.training.data.out_of_fold_targets import FINAL_SHARE, SHARE, OutOfFoldTargets
from worker.training.errors import TrainingError
from worker.training.fitting.cross_fit import CrossFitConfig, predict_out_of_fold
from worker.training.views.prepared import Prepared
from worker.training.views.view_places import SIDE, ViewPlaces

FOLDS = 4
HYPERPARAMETERS = {field.name for field in fields(CrossFitConfig)}
OPTIONS = {"folds", "share", "final_share"} | HYPERPARAMETERS


def check_options(options: Mapping[str, Any]) -> None:
    """Raises TrainingError for options of `[map.out_of_fold]` that do not exist or are out of range."""
    if unknown := sorted(options.keys() - OPTIONS):
        raise TrainingError(
            f"[map.out_of_fold] has {', '.join(unknown)}; expected some of {', '.join(sorted(OPTIONS))}"
        )
    if options.get("folds", FOLDS) < 2:
        raise TrainingError(f"[map.out_of_fold] has folds = {options['folds']}; expected 2 at least")
    for name in ("share", "final_share"):
        if not 0 <= options.get(name, 0) <= 1:
            raise TrainingError(
                f"[map.out_of_fold] has {name} = {options[name]}; expected a share of the targets, 0 to 1"
            )


def map_targets(
    prepared: Prepared, options: Mapping[str, Any], path: Path, say: Callable[[str], None]
) -> list[OutOfFoldTargets]:
    """What models that were fitted on other sources' photos predict for each view.

    The predictions are written to `path`, an .npz of names, ab (views, n, 14, 14, 2), fold and divided_sources, and are
    read from it if the file is there. Raises TrainingError if there are too few photos for the folds, if the file is of
    other photos or views, or if the disk is full.
    """
    if not path.is_file():
        _cross_fit(prepared, options, path, say)
    with np.load(path) as file:
        if list(file["names"]) != list(prepared.cache.names) or len(file["ab"]) != len(prepared.views):
            raise TrainingError(f"{path} is of other photos or views; remove it, so that it is made again")
        shares = options.get("share", SHARE), options.get("final_share", FINAL_SHARE)
        return [OutOfFoldTargets(ab, *shares) for ab in file["ab"]]


def _cross_fit(prepared: Prepared, options: Mapping[str, Any], path: Path, say: Callable[[str], None]) -> None:
    cache, views, rows = prepared.cache, prepared.views, np.flatnonzero(prepared.trained_on)
    folds = folds_by_source(cache.names, cache.sources, rows, options.get("folds", FOLDS))
    say(str(folds))
    config = CrossFitConfig(**{name: value for name, value in options.items() if name in HYPERPARAMETERS})
    weights = np.tile(prepared.sampler.probabilities(len(cache.names)), len(views))
    predicted = predict_out_of_fold(
        ViewPlaces(views, rows), folds.in_every_view(len(views)), weights, np.zeros(0, np.intp), config, say
    )
    ab = predicted.reshape(len(views), len(cache.names), SIDE, SIDE, 2).astype(np.float16)
    divided = np.array(folds.divided_sources, np.str_)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_beside_then_rename(path) as new, new.open("wb") as file:
            np.savez(file, names=cache.names, ab=ab, fold=folds.numbers, divided_sources=divided)
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error}); make room and run the command again") from None
