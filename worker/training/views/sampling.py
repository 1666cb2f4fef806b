"""Chooses photos for a step: first a source, with a probability by the square root of its number of photos and at most
8 %; then one of its photos.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_SHARE = 0.08


@dataclass(frozen=True)
class SourceSampler:
    """Draws rows of photos; `shares` sum to 1."""

    rows: list[NDArray[np.intp]]  # of each source
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, sources: NDArray[np.str_], allowed: NDArray[np.bool_]) -> "SourceSampler":
        """For photos of these sources (n,), only the allowed ones (n,)."""
        names = sorted(set(sources[allowed].tolist()))
        rows = [np.flatnonzero((sources == name) & allowed) for name in names]
        return cls(rows, capped_shares([len(one) for one in rows]))

    def probabilities(self, photos: int) -> NDArray[np.float64]:
        """The probability (photos,) with which each photo is drawn; 0 for one that is not allowed."""
        probabilities = np.zeros(photos)
        for rows, share in zip(self.rows, self.shares, strict=True):
            probabilities[rows] = share / len(rows)
        return probabilities

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw `count` rows."""
        chosen = rng.choice(len(self.rows), size=count, p=self.shares)
        return np.array([self.rows[source][rng.integers(len(self.rows[source]))] for source in chosen], np.intp)


def capped_shares(numbers: Collection[int]) -> NDArray[np.float64]:
    """Numbers of photos -> each source's share, by the square root, at most 8 % if there are enough sources."""
    shares = np.sqrt(np.asarray(list(numbers), np.float64))
    shares = shares / shares.sum()
    largest = max(LARGEST_SHARE, 1 / len(shares))
    for _ in range(len(shares)):
        over = shares > largest
        if not over.any():
            break
        free = ~over & (shares < largest)
        shares[over] = largest
        shares[free] *= (1 - shares[~free].sum()) / shares[free].sum() if free.any() else 1
    return np.asarray(shares / shares.sum())
