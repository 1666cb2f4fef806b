"""Divides photos into folds for cross-fitting, so that no source is in two folds.

Photos of one source resemble each other: one camera, one film stock, one town. A model that was fitted on a photo's own
source knows more about this photo than about an archive's. So a source's photos are all in one fold.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]

# A source with more than this many times a fold's equal share of the photos is divided by names. In one fold, it would
# leave too few photos to fit that fold's model on.
LARGEST_SOURCE = 1.5
NO_FOLD = -1  # of a photo that is not trained on


@dataclass(frozen=True)
class Folds:
    """`numbers` (n,): the fold of each photo, 0..count - 1, or NO_FOLD."""

    numbers: Rows
    count: int
    sources: int  # how many have photos in a fold
    divided_sources: tuple[str, ...]  # those whose photos are in several folds

    def rows(self, number: int) -> Rows:
        """The photos of a fold."""
        return np.flatnonzero(self.numbers == number)

    def other_rows(self, number: int) -> Rows:
        """The photos of all other folds."""
        return np.flatnonzero((self.numbers != number) & (self.numbers != NO_FOLD))

    def in_every_view(self, views: int) -> "Folds":
        """The folds of all views of the photos, a photo r of view v at v * n + r: a photo's views are in its fold."""
        return replace(self, numbers=np.tile(self.numbers, views))

    def __str__(self) -> str:
        if not self.divided_sources:
            return f"{self.count} folds of {self.sources} whole sources"
        return (
            f"{self.count} folds of {self.sources} sources; too large for one fold, so divided by photos' names: "
            f"{', '.join(self.divided_sources)}. With fewer --folds, more sources stay whole"
        )


def folds_by_source(names: NDArray[np.str_], sources: NDArray[np.str_], rows: Rows, count: int) -> Folds:
    """Divides the photos `rows` into `count` folds of nearly equal numbers of photos.

    `names` and `sources` (n,) are those of all photos. The largest source is placed first, and each goes into the fold
    that has the fewest photos so far. A source that is too large for one fold is divided: its photos go into the
    smallest folds one by one, in the order of their names' hashes. A fold is empty only if there are too few photos.
    """
    photos = Counter(str(source) for source in sources[rows])
    # With fewer sources than folds, some have to be divided, because no fold may be empty.
    largest = (LARGEST_SOURCE if len(photos) >= count else 1) * len(rows) / count
    divided = tuple(sorted(source for source, number in photos.items() if number > largest))
    numbers, sizes = np.full(len(names), NO_FOLD, np.intp), np.zeros(count, np.intp)
    for source, number in sorted(photos.items(), key=lambda entry: (-entry[1], entry[0])):
        if source not in divided:
            fold = int(sizes.argmin())
            numbers[rows[sources[rows] == source]] = fold
            sizes[fold] += number
    for row in sorted(rows[np.isin(sources[rows], divided)], key=lambda row: _hash(str(names[row]))):
        numbers[row] = fold = int(sizes.argmin())
        sizes[fold] += 1
    return Folds(numbers, count, len(photos), divided)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
