"""Reads and checks the arguments of training commands."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from worker.training.data.photo_cache import PhotoCache, build_cache
from worker.training.data.photos import Census
from worker.training.errors import TrainingError
from worker.training.fitting.loop import LearningRateSchedule


def read_cache(arguments: Namespace, folder: Path) -> PhotoCache:
    """The photos of `sources`, decoded in `folder`.

    `--keep`, if the command has it, says how many are kept for validation.

    Raises TrainingError as `build_cache`, and if no photo is left to train on.
    """
    cache = build_cache(arguments.sources, folder)
    kept = getattr(arguments, "keep", [])
    cache = replace(cache, kept_one_in=numbers("--keep", kept, cache))
    if not len(cache.training):
        raise TrainingError(f"--keep {' '.join(kept)} leaves no photo to train on; keep one in two or fewer")
    left_out = Census(**cache.census).left_out()
    print(f"{len(cache.names)} photos ({len(cache.validation)} kept for choosing); left out: {left_out}", flush=True)
    return cache


def numbers(option: str, arguments: list[str], cache: PhotoCache) -> dict[str, int]:
    """`FOLDER=NUMBER` as a mapping. Raises TrainingError for another form, or a folder without photos."""
    folders = cache.by_folder()
    numbers = {}
    for pair in arguments:
        folder, _, number = pair.partition("=")
        if folder not in folders or not number.isdigit() or not int(number):
            raise TrainingError(
                f"{option} {pair!r} was given; expected FOLDER=NUMBER, a whole number from 1 on and one of the folders "
                f"{', '.join(sorted(folders))}"
            )
        numbers[folder] = int(number)
    return numbers


def licences_of(arguments: list[str], cache: PhotoCache) -> dict[str, str]:
    """`FOLDER=LICENCE` as a mapping. Raises TrainingError for a folder without photos."""
    pairs = dict(pair.partition("=")[::2] for pair in arguments)
    if odd := sorted(pairs.keys() - cache.by_folder().keys()):
        raise TrainingError(
            f"--licence names {', '.join(odd)}; expected FOLDER=LICENCE with one of the folders "
            f"{', '.join(sorted(cache.by_folder()))}"
        )
    return pairs


def learning_rate_schedule(arguments: Namespace) -> LearningRateSchedule:
    """The learning rates of a run, and its end."""
    return LearningRateSchedule(
        arguments.steps,
        arguments.minutes,
        arguments.learning_rate,
        arguments.final_share,
        validate_every_minutes=arguments.validate_every_minutes,
    )
