"""The yardstick for photos that are prepared as in a worker: the whole photo is letterboxed, coloured, and compared
inside its box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import lab_to_rgb, luminance_to_lightness, srgb_to_linear
from worker.model.colorizer import SIDE_PX, Colorizer
from worker.training.data.photos import to_lab
from worker.training.evaluation.coherence import hue_spread, smooth_regions
from worker.training.evaluation.yardstick import (
    ColourErrors,
    colour_errors,
    places_inside,
    source_means,
    yardstick_rows,
)
from worker.training.views.photo_looks import PANCHROMATIC, grey_of
from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]

PHOTOS_A_SOURCE = 60
BATCH = 20
SMALLEST_ERROR = 1e-6  # of sRGB values, 0..1: a PSNR of 60 dB


@dataclass(frozen=True)
class SourceFigures:
    """The figures of one source and one head: the errors of a*, b*, as a whole and in parts, and how much nearer to the
    originals the outputs are than grey.
    """

    errors: Mapping[str, ColourErrors]
    psnr_above_grey: float  # dB, the photos' mean
    spread: float  # of colours within a photo, CIE units; the median of the photos
    true_spread: float
    hue_spread: float  # degrees within smooth regions, the photos' mean; NaN where all are nearly grey
    true_hue_spread: float


def measure(
    colorizer: Colorizer, cache: SquareCache, weights: Floats = PANCHROMATIC, photos: int = PHOTOS_A_SOURCE
) -> dict[str, dict[str, SourceFigures]]:
    """Figures by head and source. Photos are turned grey with these weights of linear red, green and blue."""
    figures: dict[str, dict[str, SourceFigures]] = {head: {} for head in colorizer.heads}
    for name, rows in yardstick_rows(cache.sources, photos).items():
        lab = np.stack([to_lab(cache.pixels[row]) for row in rows])
        inside = places_inside(cache.boxes[rows], cache.side_px, cache.side_px)
        by_head = _predicted(colorizer, [grey_of(cache.pixels[row], weights) for row in rows], cache.side_px)
        for head, ab in by_head.items():
            figures[head][name] = _figures(lab, ab, inside, cache.boxes[rows])
    return figures


def means(figures: Mapping[str, SourceFigures]) -> dict[str, float]:
    """The mean over sources."""
    over = source_means({name: one.errors for name, one in figures.items()})
    for key in ("psnr_above_grey", "spread", "true_spread", "hue_spread", "true_hue_spread"):
        over[key] = round(_known_mean([getattr(one, key) for one in figures.values()]), 3)
    return over


def _predicted(colorizer: Colorizer, greys: list[Floats], side_px: int) -> dict[str, Floats]:
    parts: dict[str, list[Any]] = {head: [] for head in colorizer.heads}
    for start in range(0, len(greys), BATCH):
        squares = [cv2.resize(grey, (SIDE_PX, SIDE_PX)) for grey in greys[start : start + BATCH]]
        lightness = luminance_to_lightness(srgb_to_linear(np.clip(np.stack(squares) / 255, 0, 1)))
        for head, ab in colorizer.predict_heads(np.asarray(lightness, np.float32)).ab.items():
            parts[head] += [cv2.resize(one, (side_px, side_px), interpolation=cv2.INTER_AREA) for one in ab]
    return {head: np.stack(ab) for head, ab in parts.items()}


def _figures(lab: Floats, ab: Floats, inside: Floats, boxes: NDArray[np.int64]) -> SourceFigures:
    differences, spreads = [], []
    for photo, result, mask in zip(lab, ab, inside > 0, strict=True):
        light, truth, guess = photo[mask][:, :1], photo[mask][:, 1:], result[mask]
        original, coloured, grey = (
            np.clip(lab_to_rgb(np.concatenate([light, colours], -1)), 0, 1)
            for colours in (truth, guess, np.zeros_like(truth))
        )
        errors = [max(float(np.square(one - original).mean()), SMALLEST_ERROR) for one in (grey, coloured)]
        differences.append(10 * np.log10(errors[0] / errors[1]))
        spreads.append([np.sqrt(np.square(one - one.mean(0)).sum(-1).mean()) for one in (guess, truth)])
    spread, true_spread = np.median(spreads, axis=0)
    hue, true_hue = _hue_spreads(lab, ab, boxes)
    return SourceFigures(
        colour_errors(ab, lab[..., 1:], inside), float(np.mean(differences)), float(spread), float(true_spread),
        hue, true_hue,
    )  # fmt: skip


def _hue_spreads(lab: Floats, ab: Floats, boxes: NDArray[np.int64]) -> tuple[float, float]:
    """Of the results and of the photos themselves, in the photos' boxes (n, 4); degrees."""
    spreads = []
    for photo, result, (left, top, width, height) in zip(lab, ab, boxes, strict=True):
        inside = np.s_[top : top + height, left : left + width]
        regions = smooth_regions(np.ascontiguousarray(photo[inside][..., 0]))
        spreads.append([hue_spread(colours[inside], regions) for colours in (result, photo[..., 1:])])
    result_spreads, own_spreads = zip(*spreads, strict=True)
    return _known_mean(result_spreads), _known_mean(own_spreads)


def _known_mean(values: Sequence[float]) -> float:
    """Of the numbers among them; NaN where there is none."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
