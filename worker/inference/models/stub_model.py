"""A stand-in for the fusion model. It takes a fixed time for each batch and gives colours by a simple formula.

It is for fault tests, whose outputs are compared byte by byte, and for benches of everything except the model.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.inference.shared_memory import SlotSize
from worker.model.checkpoint import STAND_IN
from worker.model.packing import PackedAb, PackedLightness, pack_ab, pack_lightness, unpack_ab, unpack_lightness


@dataclass(frozen=True, slots=True)
class StubColours:
    ab: Mapping[str, PackedAb]  # (n, side, side, 2), by head
    certainty: NDArray[np.float32]  # (n,), NaN


class StubColorizer:
    """It has the interface of `worker.model.colorizer.Colorizer`. `milliseconds` is the device's time for a batch."""

    checkpoint_id = STAND_IN
    head = "stand-in"
    heads = ("stand-in", "paper", "vivid")
    embedding = "none"
    input_px = 256
    doubtful_below = None
    slot_size = SlotSize(256, 128)
    precision = "float32"
    device = "stand-in"

    def __init__(self, milliseconds: float, batch_size: int = 8) -> None:
        self.milliseconds = milliseconds
        self.batch_size = batch_size

    def checkpoint_id_of(self, head: str) -> str:
        return self.checkpoint_id if head == self.head else f"{self.checkpoint_id}-{head}"

    def predict_packed(self, lightness: PackedLightness) -> "StubColours":
        """(n, 256, 256) -> a, b (n, 128, 128, 2) by head.

        `vivid` gives the values of `paper` with a and b exchanged.
        """
        begin = time.monotonic()
        ab = _packed_ab(lightness)
        remaining = self.milliseconds / 1000 - (time.monotonic() - begin)
        if remaining > 0:
            time.sleep(remaining)
        by_head = {self.head: ab, "paper": ab, "vivid": ab[..., ::-1]}
        return StubColours(by_head, np.full(len(lightness), np.nan, np.float32))


def stub_ab(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colours that a child gets from the stub for one scan: (400, 400), 0..100 -> (400, 400, 2) float32,
    -20..25.
    """
    packed = pack_lightness(lightness, StubColorizer.slot_size.lightness_px)
    return unpack_ab(_packed_ab(packed))


def _packed_ab(lightness: PackedLightness) -> PackedAb:
    """Packed lightness (..., 256, 256) -> packed a, b (..., 128, 128, 2), from every second row and column.

    Each value takes one multiplication and one addition, so the bytes are the same on every machine.
    """
    # As complex numbers, a + bi, because NumPy fills interleaved pairs several times faster in this way.
    pairs = unpack_lightness(lightness[..., ::2, ::2]).astype(np.complex64)
    pairs *= np.complex64(0.4 - 0.3j)
    pairs += np.complex64(-20 + 25j)
    return pack_ab(pairs.view(np.float32).reshape(*pairs.shape, 2))
