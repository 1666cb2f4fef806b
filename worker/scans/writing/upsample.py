"""Scales the model's a*, b* to the size of the scan, a few rows at a time."""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.scans.geometry import Box

_ROWS_OF_A_RUN = 4  # for longer runs, a few operations for each run cost less than gathering its rows


class Upsampler:
    """Bilinear a*, b* for any rows of a scan of `width` x `height`, from the part of the model input that shows it.

    Samples lie at pixel centres. Beyond the outermost samples, the edge is repeated. The values of a row do not depend
    on the other rows of the request, so strips meet without a seam.
    """

    def __init__(self, ab: NDArray[np.float32], box: Box, width: int, height: int) -> None:
        """`ab`: float32 (size, size, 2), CIE a*, b*; or any two values that are to be interpolated like them."""
        shown = ab[box.top : box.top + box.height, box.left : box.left + box.width].astype(np.float32)
        self._wide = np.empty((2, box.height, width), np.float32)
        for plane, wide in zip(cv2.split(shown), self._wide, strict=True):
            cv2.resize(plane, (width, box.height), dst=wide, interpolation=cv2.INTER_LINEAR)
        self._row, self._share = _neighbours(box.height, height)

    def rows(self, top: int, out: NDArray[np.float32]) -> None:
        """Fill `out` (2, rows, width) with a*, b* of the rows from `top` on."""
        before, share = self._row[top : top + out.shape[1]], self._share[top : top + out.shape[1], None]
        last = self._wide.shape[1] - 1
        if before[-1] - before[0] >= len(before) // _ROWS_OF_A_RUN:
            for plane, wide in zip(out, self._wide, strict=True):
                np.take(wide, np.minimum(before + 1, last), axis=0, out=plane, mode="clip")
                above = wide[before]
                plane -= above
                plane *= share
                plane += above
            return
        # The same sums for each run of rows that lie between the same two samples. This reads memory a third as often.
        starts = np.searchsorted(before, range(before[0], before[-1] + 2))
        for row, start, stop in zip(range(before[0], before[-1] + 1), starts[:-1], starts[1:], strict=True):
            run, above = out[:, start:stop], self._wide[:, row, None]
            np.multiply(self._wide[:, min(row + 1, last), None] - above, share[start:stop], out=run)
            run += above


def _neighbours(inner: int, outer: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each of `outer` pixels: the last of `inner` samples before it, and the share (0..1) of the next sample."""
    place = (np.arange(outer) + 0.5) * (inner / outer) - 0.5
    place = place.clip(0, inner - 1)
    before = place.astype(np.intp)
    return before, (place - before).astype(np.float32)
