"""Colours that a grey scan has of its own, a stamp's or a pencil's, in place of the model's."""

import numpy as np
from numpy.typing import NDArray

from worker.scans.writing.border_fade import Rows

Floats = NDArray[np.float32]


class WithOwnColours:
    """Rows of colours, where marks are with theirs, as far as the marks' weight says."""

    def __init__(self, rows: Rows, marks: NDArray[np.uint8], *, neutral: float, steps_per_unit: float) -> None:
        """`marks` (height, width, 3): a* + 128, b* + 128, weight; the rows' values are neutral + steps * a*, b*."""
        self._rows, self._marks = rows, marks
        self._neutral, self._steps_per_unit = np.float32(neutral), np.float32(steps_per_unit)

    def rows(self, top: int, out: Floats) -> None:
        """See Rows."""
        self._rows.rows(top, out)
        marks = self._marks[top : top + out.shape[1]]
        weight = marks[..., 2]
        if not weight.any():
            return
        share = weight.astype(np.float32) / np.float32(255)
        for channel, plane in enumerate(out):
            mark = (marks[..., channel].astype(np.float32) - np.float32(128)) * self._steps_per_unit + self._neutral
            plane += (mark - plane) * share
