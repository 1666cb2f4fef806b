"""The yardstick, on which every choice is made: seven whole sources that no training run sees, each measured
separately.

R2 is the share of the tint's squared error that is removed, and G the share of grey's. The tint is that of `first`
(TRAINING_MEAN_AB) for every checkpoint. Both are also computed for the photos' mean colours alone, and for the colours
around the mean. The mean over sources counts, so that large sources don't dominate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.model.network import TRAINING_MEAN_AB

Floats = NDArray[np.float32]

HELD_OUT_SOURCES = {
    "crowds_shanghaitech_a": "documentary: crowds at public events",
    "flickr8k_part": "people and children outdoors",
    "houses": "everyday: houses and rooms",
    "mit_outdoor8": "landscape and towns",
    "nips17_imagenet_like": "things and animals",
    "olympus": "everyday: one photographer's campus, people, gardens",
    "weather_hackerearth": "skies over streets and land",
}
PHOTOS_A_SOURCE = 300
NOTHING = 1e-9  # least error, so that photos without colour cause no division by zero


@dataclass(frozen=True)
class ColourErrors:
    """Sums over photos of squared errors, each photo's mean over its places, CIE units."""

    model: float
    tint: float
    grey: float

    @property
    def r2(self) -> float:
        return 1 - self.model / max(self.tint, NOTHING)

    @property
    def gain(self) -> float:
        return 1 - self.model / max(self.grey, NOTHING)


def yardstick_rows(sources: NDArray[np.str_], limit: int = PHOTOS_A_SOURCE) -> dict[str, NDArray[np.intp]]:
    """Rows of the photos to score, by source: at most `limit`, evenly spread over the source."""
    rows = {}
    for name in HELD_OUT_SOURCES:
        every = np.flatnonzero(sources == name)
        if len(every):
            rows[name] = every[np.linspace(0, len(every) - 1, min(limit, len(every))).astype(int)]
    return rows


def colour_errors(
    result: Floats, truth: Floats, inside: Floats, tint: tuple[float, float] = TRAINING_MEAN_AB
) -> dict[str, ColourErrors]:
    """Errors of a*, b* (n, h, w, 2): `all`, those of the photos' `mean` colours, and those of what `varies` around the
    mean.

    `inside` (n, h, w), 0..1, is how much of each place belongs to the photo.
    """
    weights = inside / inside.sum((1, 2), keepdims=True)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.einsum("nhwc,nhw->nc", values, weights), np.float32)

    def spread(values: Floats) -> float:
        return float(np.einsum("nhwc,nhw->", np.square(values), weights))

    result_mean, truth_mean = mean(result), mean(truth)
    around_result, around_truth = result - result_mean[:, None, None], truth - truth_mean[:, None, None]
    centre = np.asarray(tint, np.float32)
    parts = {
        "mean": ColourErrors(
            *(float(np.square(truth_mean - guess).sum()) for guess in (result_mean, centre, np.float32(0)))
        ),
        "varies": ColourErrors(spread(around_truth - around_result), spread(around_truth), spread(around_truth)),
    }
    whole = ColourErrors(spread(truth - result), spread(truth - centre), spread(truth))
    return {"all": whole, **parts}


def source_means(figures: Mapping[str, Mapping[str, ColourErrors]]) -> dict[str, float]:
    """Each source's errors -> the mean R2 and G over sources, as `r2`, `gain`, `r2_mean`, `r2_varies` ..."""
    means = {}
    for part in ("all", "mean", "varies"):
        suffix = "" if part == "all" else f"_{part}"
        means[f"r2{suffix}"] = round(float(np.mean([errors[part].r2 for errors in figures.values()])), 4)
        means[f"gain{suffix}"] = round(float(np.mean([errors[part].gain for errors in figures.values()])), 4)
    return means


def means_and_sources(figures: Mapping[str, Mapping[str, ColourErrors]]) -> dict[str, float]:
    """`source_means`, and each source's own R2 by its name."""
    return source_means(figures) | {name: round(errors["all"].r2, 3) for name, errors in figures.items()}


def places_inside(boxes: NDArray[np.int64], side_px: int, places: int) -> Floats:
    """How much of each place (n, places, places), 0..1, is in the photo's box (n, 4), in a square of this side."""
    edges = np.arange(places + 1) * side_px / places

    def covered(first: NDArray[np.int64], length: NDArray[np.int64]) -> Floats:
        low, high = first[:, None], (first + length)[:, None]
        overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        return np.asarray(np.clip(overlap, 0, None) * places / side_px, np.float32)

    across, down = covered(boxes[:, 0], boxes[:, 2]), covered(boxes[:, 1], boxes[:, 3])
    return down[:, :, None] * across[:, None, :]
