"""A lookup table for the colours of 8-bit outputs: one look-up for each pixel instead of CIE's formulas."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.colour.gamut import lab_to_linear_in_gamut
from worker.colour.lab import LUMINANCE, grey_lightness, lightness_to_luminance, linear_to_srgb, srgb_to_linear

STEPS_PER_UNIT = 2  # of a* and b*; smaller steps make no difference in 8 bits, larger ones show in a smooth sky
STEPS = 256 * STEPS_PER_UNIT  # from -128 up to 128
LEVELS = 256  # of grey
MOST_LEVELS_OFF = 0.4  # levels of grey by which rounding may make a colour too light or too dark
_PAIRS_AT_ONCE = 64


class ColourTable:
    """sRGB for every level of grey, a* and b*. Each colour is computed when it is first needed.

    It has 256 MB of address space, but uses memory only for colours that occur, usually 5 to 20 MB. Threads share it:
    if two of them compute the same colours, they write the same values.
    """

    def __init__(self) -> None:
        self._colours = np.zeros((STEPS * STEPS, LEVELS), np.uint32)

    def look_up(self, index: NDArray[np.intp], out: NDArray[np.uint32]) -> None:
        """Fill `out` with the bytes R, G, B, 255 for each `index`, in any shape.

        An index is (a_step * STEPS + b_step) * LEVELS + grey, where a step is (a* or b* + 128) * STEPS_PER_UNIT.
        """
        colours = self._colours.reshape(-1)
        # Without a mode, take would check each index and copy through a buffer.
        np.take(colours, index, out=out, mode="wrap")
        if out.min() == 0:  # 0: not in the table yet; even black is not 0, because its fourth byte is 255
            # The missing colours are collected by pair of a*, b*, which is ten times as fast as sorting the index.
            missing = np.zeros(STEPS * STEPS, np.bool_)
            missing[index[out == 0] // LEVELS] = True
            self._work_out(np.flatnonzero(missing))
            np.take(colours, index, out=out, mode="wrap")

    def _work_out(self, pairs: NDArray[np.intp]) -> None:
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            chunk = pairs[start : start + _PAIRS_AT_ONCE]
            self._colours[chunk] = _colours_of(chunk)


@cache
def shared_colour_table() -> ColourTable:
    """The one table of this process."""
    return ColourTable()


def _colours_of(pairs: NDArray[np.intp]) -> NDArray[np.uint32]:
    """(pairs,) to (pairs, 256): the colours of each pair of a*, b* at each level of grey."""
    steps = np.repeat(np.stack(divmod(pairs, STEPS))[..., None], LEVELS, axis=2)
    a, b = steps.astype(np.float32) / STEPS_PER_UNIT - 128  # (pairs, 256) each
    lightness = np.tile(grey_lightness(8), (len(pairs), 1))
    rgb = lab_to_linear_in_gamut(lightness, a, b)  # (3, pairs, 256)
    colours = np.full((*rgb.shape[1:], 4), 255, np.uint8)
    colours[..., :3] = np.moveaxis(_rounded(rgb, lightness_to_luminance(lightness)), 0, -1)
    return colours.view(np.uint32)[..., 0]


def _rounded(rgb: NDArray[np.floating[Any]], luminance: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Linear R, G, B (3, ...), 0..1, as 8-bit sRGB with this luminance (..., 256), 0..1.

    If each of the three channels is rounded alone, the colour can be half a level of grey too light or too dark, and
    the scan's own rounding is added to this. In such a case green, which has most of the luminance, is changed by one
    level. The last axis is the level of grey.
    """
    red, green, blue = np.rint(linear_to_srgb(rgb) * 255).astype(np.int16)
    linear = srgb_to_linear(np.arange(LEVELS) / (LEVELS - 1))
    remainder = LUMINANCE[0] * linear[red] + LUMINANCE[2] * linear[blue] - luminance
    greens = np.stack([green, np.maximum(green - 1, 0), np.minimum(green + 1, LEVELS - 1)])
    errors = np.abs(remainder + LUMINANCE[1] * linear[greens])
    nearest = np.where(errors[0] > MOST_LEVELS_OFF * np.gradient(linear), errors.argmin(axis=0), 0)
    return np.stack([red, np.take_along_axis(greens, nearest[None], axis=0)[0], blue]).astype(np.uint8)
