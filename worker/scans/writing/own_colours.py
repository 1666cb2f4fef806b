"""Replaces the model's colours by a grey scan's own colours where it has some, such as a stamp or pencil marks."""

import numpy as np
from numpy.typing import NDArray

from worker.scans.writing.border_fade import Rows

Floats = NDArray[np.float32]


class WithOwnColours:
    """Rows of colours. At a mark, the scan's own colour is mixed in, by the weight of the mark."""

    def __init__(
        self, rows: Rows, marks: NDArray[np.uint8], size: tuple[int, int], *, neutral: float, steps_per_unit: float
    ) -> None:
        """`marks`: a* + 128, b* + 128 and a weight. The values of the rows are neutral + steps * a*, b*.

        size: height and width of the scan. The marks (height, width, 3) may have a smaller height and width.
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
