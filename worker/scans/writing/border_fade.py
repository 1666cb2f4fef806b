"""Keeps film borders neutral: only the picture inside them gets colours."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.scans.reading.model_input import ModelInput
from worker.scans.writing.upsample import Upsampler

Floats = NDArray[np.float32]

_FADE = 0.004  # of the picture's shorter side; without a fade, the edge of the colours would show as a line


class Rows(Protocol):
    """Gives a*, b*, or values like them, for any rows of a scan."""

    def rows(self, top: int, out: Floats) -> None:
        """Fill `out` (2, rows, width) with the values of the rows from `top` on."""


def upsampler_of(ab: Floats, model_input: ModelInput, width: int, height: int, *, neutral: float) -> Rows:
    """Scales `ab` (size, size, 2) of the model input to the size of the scan. Outside the picture the values are
    `neutral`.
    """
    if model_input.picture is None:
        return Upsampler(ab, model_input.box, width, height)
    return _Framed(ab, model_input, neutral)


class _Framed:
    """Colours that fade to neutral within a few pixels of the picture's edge."""

    def __init__(self, ab: Floats, model_input: ModelInput, neutral: float) -> None:
        assert model_input.picture is not None
        self._picture, self._neutral = model_input.picture, neutral
        self._inside = Upsampler(ab - np.float32(neutral), model_input.box, self._picture.width, self._picture.height)
        pixels = max(1.0, _FADE * min(self._picture.width, self._picture.height))
        self._across = _ramp(self._picture.width, pixels)
        self._down = _ramp(self._picture.height, pixels)

    def rows(self, top: int, out: Floats) -> None:
        """See Rows."""
        picture = self._picture
        first = max(top, picture.top)
        last = min(top + out.shape[1], picture.top + picture.height)
        out.fill(self._neutral)
        if first >= last:
            return
        inside = np.empty((2, last - first, picture.width), np.float32)
        self._inside.rows(first - picture.top, inside)
        inside *= self._down[first - picture.top : last - picture.top, None]
        inside *= self._across
        out[:, first - top : last - top, picture.left : picture.left + picture.width] += inside


def _ramp(length: int, pixels: float) -> Floats:
    """(length,): it rises from 0 to 1 within `pixels` pixels from each end."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    ramp: Floats = np.minimum(1, from_end / pixels).astype(np.float32)
    return ramp
