"""Sizes and places within a scan."""

from dataclasses import dataclass

import numpy as np

from worker.arrays import Pixels


@dataclass(frozen=True, slots=True)
class Box:
    """A part of an image, in pixels. In a model input, it is the part that shows the scan; in a scan with film borders,
    the part inside them.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of an image and the type of its samples."""

    width: int
    height: int
    bands: int
    bit_depth: int  # 8 or 16

    @property
    def row_bytes(self) -> int:
        return self.width * self.bands * self.bit_depth // 8

    @property
    def bytes(self) -> int:
        return self.height * self.row_bytes

    def room(self, rows: int) -> Pixels:
        """An empty array for some rows, (rows, width, bands). Its values are not set."""
        shape = (rows, self.width, self.bands)
        return np.empty(shape, np.uint8) if self.bit_depth == 8 else np.empty(shape, np.uint16)
