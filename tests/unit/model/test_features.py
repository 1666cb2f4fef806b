import numpy as np
from keras import ops

from worker.model.classifiers import features
from worker.model.weights import Layers


def test_the_maps_have_strides_8_16_and_32(feature_layers: Layers) -> None:
    assert len(feature_layers) == features.LAYERS
    maps = features.feature_maps(np.full((1, 224, 224, 1), 99, np.float32), feature_layers)
    assert tuple(tuple(one.shape[1:]) for one in maps) == features.MAP_SHAPES


def test_a_depthwise_layer_keeps_channels_apart() -> None:
    kernel = np.zeros((3, 3, 2), np.float32)
    kernel[1, 1] = (2, 3)
    project = np.eye(2, dtype=np.float32)[None, None]
    zero = np.zeros(2, np.float32)
    x = np.ones((1, 4, 4, 2), np.float32)
    y = features._block(ops.convert_to_tensor(x), iter([(kernel, zero), (project, zero)]), False, 1, 2)
    np.testing.assert_allclose(np.asarray(y), x + x * np.array([2, 3], np.float32))


def test_features_see_the_grey_of_the_lightness(feature_layers: Layers) -> None:
    network = features.FeatureNetwork(feature_layers).on_device("float32")
    white = np.full((1, 400, 400, 1), 100, np.float32)
    direct = features.feature_maps(np.full((1, 224, 224, 1), 255, np.float32), feature_layers)
    np.testing.assert_allclose(np.asarray(network(white)[0]), np.asarray(direct[0]), atol=1e-2)
