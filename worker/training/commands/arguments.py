"""What a training command was given, read and checked."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from worker.training.data.photo_cache import PhotoCache, build_cache
from worker.training.errors import TrainingError
from worker.training.fitting.loop import Schedule


def read_cache(given: Namespace, folder: Path) -> PhotoCache:
    """The photos of `sources`, decoded in `folder`; as many are kept for choosing as `--keep` says, if there is one.

    Raises TrainingError as `build_cache`, and where no photo is left to train on.
    """
    cache = build_cache(given.sources, folder)
    kept = getattr(given, "keep", [])
    cache = replace(cache, kept_one_in=numbers("--keep", kept, cache))
    if not len(cache.training):
        raise TrainingError(f"--keep {' '.join(kept)} leaves no photo to train on; keep one in two or fewer")
    print(f"{len(cache.names)} photos ({len(cache.validation)} kept for choosing); counts: {cache.census}", flush=True)
    return cache


def numbers(option: str, given: list[str], cache: PhotoCache) -> dict[str, int]:
    """`FOLDER=NUMBER` as a mapping; raises TrainingError for another form or a folder that no photo is from."""
    known = cache.by_folder()
    numbers = {}
    for pair in given:
        folder, _, number = pair.partition("=")
        if folder not in known or not number.isdigit() or not int(number):
            raise TrainingError(
                f"{option} {pair!r} was given; expected FOLDER=NUMBER, a whole number from 1 on and one of the folders "
                f"{', '.join(sorted(known))}"
            )
        numbers[folder] = int(number)
    return numbers


def licences_of(given: list[str], cache: PhotoCache) -> dict[str, str]:
    """`FOLDER=LICENCE` as a mapping; raises TrainingError for a folder that no photo is from."""
    pairs = dict(pair.partition("=")[::2] for pair in given)
    if odd := sorted(pairs.keys() - cache.by_folder().keys()):
        raise TrainingError(
            f"--licence names {', '.join(odd)}; expected FOLDER=LICENCE with one of the folders "
            f"{', '.join(sorted(cache.by_folder()))}"
        )
    return pairs


def schedule(given: Namespace) -> Schedule:
    """How long and how fast."""
    return Schedule(
        given.steps,
        given.minutes,
        given.learning_rate,
        given.final_share,
        validate_every_minutes=given.validate_every_minutes,
    )
