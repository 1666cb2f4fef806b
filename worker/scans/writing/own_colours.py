"""Puts a grey scan's own colours, such as those of a stamp or a pencil, in the place of the model's."""

import numpy as np
from numpy.typing import NDArray

from worker.scans.writing.border_fade import Rows

Floats = NDArray[np.float32]


class WithOwnColours:
    """Rows of colours. Where there are marks, their colours are used, by the marks' weight."""

    def __init__(
        self, rows: Rows, marks: NDArray[np.uint8], size: tuple[int, int], *, neutral: float, steps_per_unit: float
    ) -> None:
        """`marks`: a* + 128, b* + 128, weight; the rows' values are neutral + steps * a*, b*.

        size: height and width of the scan; the marks (height, width, 3) may have fewer of both.
        """
        self._rows, self._marks, self._size = rows, marks, size
        self._neutral, self._steps_per_unit = np.float32(neutral), np.float32(steps_per_unit)

    def rows(self, top: int, out: Floats) -> None:
        """See Rows."""
        self._rows.rows(top, out)
        marks = self._marks_of_rows(top, out.shape[1])
        weight = marks[..., 2]
        if not weight.any():
            return
        share = weight.astype(np.float32) / np.float32(255)
        for channel, plane in enumerate(out):
            mark = (marks[..., channel].astype(np.float32) - np.float32(128)) * self._steps_per_unit + self._neutral
            plane += (mark - plane) * share

    def _marks_of_rows(self, top: int, rows: int) -> NDArray[np.uint8]:
        height, width = self._marks.shape[:2]
        if (height, width) == self._size:
            return self._marks[top : top + rows]
        down = np.arange(top, top + rows) * height // self._size[0]
        across = np.arange(self._size[1]) * width // self._size[1]
        marks: NDArray[np.uint8] = self._marks[down][:, across]
        return marks
