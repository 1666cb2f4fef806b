"""A stand-in for the fusion model: takes a set time per batch and gives a colour anyone can compute.

For fault tests, whose outputs are compared byte for byte, and for benches of everything but the model.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.model.checkpoint import STAND_IN


@dataclass(frozen=True, slots=True)
class StubColours:
    ab: Mapping[str, NDArray[np.float32]]  # (n, 400, 400, 2), by head
    certainty: NDArray[np.float32]  # (n,), NaN


class StandInColorizer:
    """The interface of `worker.model.colorizer.Colorizer`; `milliseconds` is the device's time for a batch."""

    checkpoint_id = STAND_IN
    head = "stand-in"
    heads = ("stand-in", "paper", "vivid")
    embedding = "none"
    input_px = 400
    precision = "float32"
    device = "stand-in"

    def __init__(self, milliseconds: float, batch_size: int = 8) -> None:
        self.milliseconds = milliseconds
        self.batch_size = batch_size

    def checkpoint_id_of(self, head: str) -> str:
        return self.checkpoint_id if head == self.head else f"{self.checkpoint_id}-{head}"

    def predict_heads(self, lightness: NDArray[np.float32]) -> "StubColours":
        """(n, 400, 400) float32, 0..100 -> a, b by head; `vivid` gives those of `paper` with a and b exchanged."""
        ab, certainty = self.predict(lightness)
        return StubColours({self.head: ab, "paper": ab, "vivid": ab[..., ::-1]}, certainty)

    def predict(self, lightness: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, 400, 400) float32, 0..100 -> a, b (n, 400, 400, 2) float32, -20..25, and certainty (n,), NaN."""
        begin = time.monotonic()
        ab = stand_in_ab(lightness)
        remaining = self.milliseconds / 1000 - (time.monotonic() - begin)
        if remaining > 0:
            time.sleep(remaining)
        return ab, np.full(len(lightness), np.nan, np.float32)


def stand_in_ab(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """The a and b that the stand-in gives: (..., 400, 400), 0..100 -> (..., 400, 400, 2) float32, -20..25.

    One multiplication and one addition per value, so it is the same bytes on every machine.
    """
    # As complex numbers, a + bi, because NumPy fills interleaved pairs several times faster that way.
    pairs = lightness.astype(np.complex64)
    pairs *= np.complex64(0.4 - 0.3j)
    pairs += np.complex64(-20 + 25j)
    return pairs.view(np.float32).reshape(*lightness.shape, 2)
