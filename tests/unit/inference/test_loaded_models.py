"""A model for each embedding that jobs ask for; all models share slots and batches of one size."""

import numpy as np

from worker.inference.models.interface import LoadedModels
from worker.inference.models.stub_model import StubColorizer


def test_a_later_model_takes_scans_at_the_first_ones_side() -> None:
    sides: list[tuple[str | None, int]] = []

    def load(batch_size: int, embedding: str | None, lightness_px: int) -> StubColorizer:
        sides.append((embedding, lightness_px))
        return StubColorizer(0, batch_size)

    models = LoadedModels(StubColorizer(0, 2), load)
    models.predict(np.zeros((2, 256, 256), np.uint16), "imagenet")

    assert sides == [("imagenet", 256)]
