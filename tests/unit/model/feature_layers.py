"""An untrained feature network: only its shapes are EfficientNet-Lite2's."""

import numpy as np

from worker.model.classifiers.features import BLOCKS
from worker.model.weights import Layers


def untrained_feature_layers(with_classifier: bool = False) -> Layers:
    """Kernels and biases in the order of `features.feature_maps`, then the two layers of the class logits if wanted."""
    rng = np.random.default_rng(0)
    shapes: list[tuple[int, ...]] = [(3, 3, 3, 32)]
    channels = 32
    for expands, side, _, out in BLOCKS:
        wide = 6 * channels if expands else channels
        shapes += [(1, 1, channels, wide)] if expands else []
        shapes += [(side, side, wide), (1, 1, wide, out)]
        channels = out
    shapes += [(1, 1, channels, 1280), (1280, 1000)] if with_classifier else []
    return [(rng.normal(0, 0.1, shape).astype(np.float32), np.zeros(shape[-1], np.float32)) for shape in shapes]
