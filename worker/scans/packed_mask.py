"""A mask that takes little memory, because every page of a file may have one at the same time."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A mask of bits, compressed."""

    height: int
    width: int
    data: bytes

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "PackedMask":
        """Pack a mask (height, width)."""
        height, width = mask.shape
        return cls(height, width, zlib.compress(np.packbits(mask).tobytes(), level=1))

    def pixels(self) -> NDArray[np.bool_]:
        """The mask, (height, width)."""
        bits = np.frombuffer(zlib.decompress(self.data), np.uint8)
        return np.unpackbits(bits, count=self.height * self.width).reshape(self.height, self.width).astype(np.bool_)
