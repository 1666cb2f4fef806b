import keras
import numpy as np

from worker.model.classifiers import compact
from worker.model.classifiers.embedding import Embedding


def test_the_folded_function_gives_the_logits_of_the_trained_network() -> None:
    model = compact.build_compact(64)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.beta.shape[0]
            layer.set_weights([*rng.normal(0, 0.3, (3, channels)), rng.uniform(0.5, 2, channels)])
    images = rng.uniform(-1, 1, (2, 64, 64, 3)).astype("f")
    layers = compact.fold(model)
    assert len(layers) == compact.LAYERS
    folded = Embedding("compact", "compact", layers, 64)
    expected = np.asarray(model(images, training=False))
    np.testing.assert_allclose(np.asarray(folded.logits(images)), expected, rtol=1e-3, atol=1e-4)
