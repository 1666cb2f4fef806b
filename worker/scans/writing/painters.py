"""Turns strips of sRGB grey into colours of the same lightness: in 8 bits by a lookup table, in 16 bits by CIE's
formulas.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.colour.gamut import lab_to_linear_where_it_fits
from worker.colour.lab import grey_lightness, linear_to_srgb16
from worker.colour.lookup_table import LEVELS, STEPS, STEPS_PER_UNIT, shared_colour_table
from worker.scans.reading.model_input import ModelInput
from worker.scans.reading.scan import OpenScan
from worker.scans.writing.border_fade import upsampler_of
from worker.scans.writing.own_colours import WithOwnColours


class Painter(Protocol):
    """Gives strips of one scan the colours of its model input."""

    def paint(self, top: int, grey: Pixels, out: Pixels) -> None:
        """Grey (rows, width), whose first row is the scan's row `top`, to colours `out` (rows, width, 3 or 4)."""


def painter_of(scan: OpenScan, model_input: ModelInput, ab: NDArray[np.float32], rows: int, bit_depth: int) -> Painter:
    """The painter for outputs of 8 or 16 bits, for strips of at most `rows`; `ab` is that of the model input."""
    return (Painter8 if bit_depth == 8 else Painter16)(scan, model_input, ab, rows)


class Painter8:
    """Paints 8-bit colours by the lookup table."""

    def __init__(self, scan: OpenScan, model_input: ModelInput, ab: NDArray[np.float32], rows: int) -> None:
        steps = ((within_table(ab) + 128) * STEPS_PER_UNIT).clip(0, STEPS - 1).astype(np.float32)
        neutral = 128 * STEPS_PER_UNIT
        self._upsampler = upsampler_of(steps, model_input, scan.width, scan.height, neutral=neutral)
        if scan.marks is not None:
            self._upsampler = WithOwnColours(
                self._upsampler, scan.marks, (scan.height, scan.width), neutral=neutral, steps_per_unit=STEPS_PER_UNIT
            )
        self._table = shared_colour_table()
        self._steps = np.empty((2, rows, scan.width), np.float32)
        self._pairs = np.empty((rows, scan.width), np.int32)
        self._index = np.empty((rows, scan.width), np.intp)
        self._colours = np.empty((rows, scan.width), np.uint32)

    def paint(self, top: int, grey: Pixels, out: Pixels) -> None:
        """See Painter."""
        rows = len(grey)
        steps, index, colours = self._steps[:, :rows], self._index[:rows], self._colours[:rows]
        self._upsampler.rows(top, steps)
        np.rint(steps, out=steps)
        steps[0] *= STEPS
        steps[0] += steps[1]  # whole numbers below 2 ** 24, which float32 holds exactly
        pairs = self._pairs[:rows]
        np.copyto(pairs, steps[0], casting="unsafe")
        pairs *= LEVELS
        pairs += to_depth_of(out, grey)
        np.copyto(index, pairs)
        self._table.look_up(index, colours)
        rgbx = colours.view(np.uint8).reshape(*grey.shape, 4)
        if out.shape[2] == 4:
            out[:] = rgbx
        else:
            cv2.cvtColor(rgbx, cv2.COLOR_RGBA2RGB, dst=out)  # ten times as fast as an assignment


def within_table(ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """a*, b* (height, width, 2), limited to the range of the table, with the same hue. Limiting a* and b* separately
    would change the hue.
    """
    limit = np.float32((STEPS - 1) / STEPS_PER_UNIT - 128)
    distances = np.abs(ab)
    if distances.max() <= limit:
        return ab
    furthest = np.maximum(distances[..., 0], distances[..., 1])[..., None]  # NumPy's max over an axis of 2 is slow
    within: NDArray[np.float32] = ab * np.minimum(1, limit / np.maximum(furthest, limit))
    return within


class Painter16:
    """Paints 16-bit colours by CIE's formulas."""

    def __init__(self, scan: OpenScan, model_input: ModelInput, ab: NDArray[np.float32], rows: int) -> None:
        self._upsampler = upsampler_of(ab, model_input, scan.width, scan.height, neutral=0)
        if scan.marks is not None:
            self._upsampler = WithOwnColours(
                self._upsampler, scan.marks, (scan.height, scan.width), neutral=0, steps_per_unit=1
            )
        self._ab = np.empty((2, rows, scan.width), np.float32)
        self._lightness = grey_lightness(16)

    def paint(self, top: int, grey: Pixels, out: Pixels) -> None:
        """See Painter."""
        ab = self._ab[:, : len(grey)]
        self._upsampler.rows(top, ab)
        linear = lab_to_linear_where_it_fits(self._lightness[grey], *ab)
        coded = [linear_to_srgb16(values) for values in linear]
        if out.shape[2] == len(coded):
            cv2.merge(coded, dst=out)  # four times as fast as assignments
        else:
            for channel, values in enumerate(coded):
                out[..., channel] = values


def to_depth_of(out: Pixels, samples: Pixels) -> Pixels:
    """Samples in the depth of the output: 8 bits, or their own depth."""
    if out.dtype == samples.dtype:
        return samples
    eight: NDArray[np.uint8] = ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return eight
