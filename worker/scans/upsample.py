"""The model's a*, b* at the size of the scan, a few rows at a time."""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.scans.square import Box


class Upsampler:
    """Bilinear a*, b* for any rows of a scan of `width` x `height`, from the part of the square that shows it.

    Samples lie at pixel centres, beyond the outermost ones the edge is repeated. A row's values do not depend on
    the rows asked for with it, so strips meet without a seam.
    """

    def __init__(self, ab: NDArray[np.float32], box: Box, width: int, height: int) -> None:
        """`ab`: float32 (size, size, 2), CIE a*, b*; or any two values that are to be interpolated like them."""
        shown = ab[box.top : box.top + box.height, box.left : box.left + box.width]
        wide = cv2.resize(shown.astype(np.float32), (width, box.height), interpolation=cv2.INTER_LINEAR)
        self._wide = np.stack(cv2.split(wide))  # (2, box.height, width)
        self._row, self._share = _neighbours(box.height, height)
        self._step = np.zeros_like(self._wide)  # to the next row; the last has none
        np.subtract(self._wide[:, 1:], self._wide[:, :-1], out=self._step[:, :-1])

    def rows(self, top: int, out: NDArray[np.float32]) -> None:
        """Fill `out` (2, rows, width) with a*, b* of the rows from `top` on."""
        rows = slice(top, top + out.shape[1])
        for plane, wide, step in zip(out, self._wide, self._step, strict=True):
            np.take(step, self._row[rows], axis=0, out=plane, mode="clip")
            plane *= self._share[rows, None]
            plane += wide[self._row[rows]]


def _neighbours(inner: int, outer: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each of `outer` pixels: the one of `inner` samples before it, and the share (0..1) of the one after."""
    place = (np.arange(outer) + 0.5) * (inner / outer) - 0.5
    place = place.clip(0, inner - 1)
    before = place.astype(np.intp)
    return before, (place - before).astype(np.float32)
