"""The fusion model as the model server uses it. This loads TensorFlow."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worker.inference.model import Colours
from worker.model.colorizer import SIDE_PX, Colorizer

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _OneHead:
    ab: Mapping[str, Floats]  # (n, 400, 400, 2)
    certainty: Floats  # (n,)


class FusionModel:
    """A `Colorizer` for `LoadedModels`."""

    def __init__(self, colorizer: Any) -> None:
        self._colorizer = colorizer
        self.embedding: str = colorizer.embedding
        self.device: str = colorizer.device
        self.batch_size: int = colorizer.batch_size
        self.head: str = colorizer.head
        self.heads: tuple[str, ...] = getattr(colorizer, "heads", (colorizer.head,))
        self.precision: str = colorizer.precision
        self.input_px: int = getattr(colorizer.card, "input_px", SIDE_PX)

    @classmethod
    def load(cls, arguments: argparse.Namespace, batch_size: int, embedding: str | None) -> Self:
        """Raises CheckpointError."""
        return cls(
            Colorizer.load(arguments.checkpoint, batch_size, embedding, arguments.head, precision=arguments.precision)
        )

    def checkpoint_id_of(self, head: str) -> str:
        known: str = self._colorizer.checkpoint_id  # of its own head; ends in a digest where the embedding is a file
        return str(self._colorizer.card.variant(head, self.embedding, lambda: known.rpartition("-")[2]))

    def predict_heads(self, lightness: Floats) -> Colours:
        """(n, 400, 400), 0..100 -> what every head gives."""
        if not hasattr(self._colorizer, "predict_heads"):
            ab, certainty = self._colorizer.predict(lightness)
            return _OneHead({self.head: ab}, certainty)
        colours: Colours = self._colorizer.predict_heads(lightness)
        return colours
