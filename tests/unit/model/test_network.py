import keras
import numpy as np
import pytest
from keras import ops

from worker.model import network
from worker.model.classifiers.features import MAP_SHAPES


@pytest.fixture(scope="module")
def paper() -> keras.Model:
    return network.build_network("paper")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("encoder_1_relu", (200, 200, 64)),
        ("encoder_2_relu", (200, 200, 128)),
        ("encoder_3_relu", (100, 100, 128)),
        ("encoder_4_relu", (100, 100, 256)),
        ("encoder_5_relu", (50, 50, 256)),
        ("encoder_6_relu", (50, 50, 512)),
        ("encoder_7_relu", (50, 50, 512)),
        ("encoder_8_relu", (50, 50, 256)),
        ("fusion_relu", (50, 50, 256)),
        ("decoder_1_relu", (50, 50, 128)),
        ("decoder_3_relu", (100, 100, 64)),
        ("decoder_4_relu", (200, 200, 32)),
        ("head_up", (400, 400, 2)),
    ],
)
def test_each_stage_has_the_papers_shape(paper: keras.Model, layer: str, shape: tuple[int, ...]) -> None:
    assert paper.get_layer(layer).output.shape == (None, *shape)


def test_the_vivid_head_gives_313_bins_at_a_quarter_of_the_side() -> None:
    assert network.build_network("vivid").output.shape == (None, 100, 100, 313)


def test_the_cheap_fusion_equals_repeat_concatenate_and_1x1_convolution() -> None:
    encoded, embedding = keras.Input((5, 5, 256)), keras.Input((1000,))
    cheap = keras.Model([encoded, embedding], network.fusion(encoded, embedding, batch_norm=False))
    rng = np.random.default_rng(0)
    x, e = rng.normal(size=(2, 5, 5, 256)).astype("f"), rng.random((2, 1000)).astype("f")
    of_places = cheap.get_layer("fusion_encoder").get_weights()[0][0, 0]  # (256, 256)
    of_scan, bias = cheap.get_layer("fusion_embedding").get_weights()  # (1000, 256)
    everywhere = np.broadcast_to(network.EMBEDDING_SCALE * e[:, None, None], (2, 5, 5, 1000))
    kernel = np.concatenate([of_places, of_scan])[None, None]  # (1, 1, 1256, 256)
    papers = ops.relu(ops.conv(np.concatenate([x, everywhere], axis=-1), kernel) + bias)
    np.testing.assert_allclose(np.asarray(cheap([x, e])), np.asarray(papers), atol=2e-4)


def test_an_untrained_network_starts_near_the_training_mean() -> None:
    model = network.build_network("paper", size=32)
    ab = np.asarray(model([np.zeros((1, 32, 32, 1)), np.zeros((1, 1000))])) * network.AB_SCALE
    np.testing.assert_allclose(ab.mean((0, 1, 2)), network.TRAINING_MEAN_AB, atol=3)


def test_a_smaller_square_goes_through_the_open_network() -> None:
    model = network.build_network("paper", size=None)
    assert np.asarray(model([np.zeros((1, 24, 24, 1)), np.zeros((1, 1000))])).shape == (1, 24, 24, 2)


def test_a_side_that_cannot_be_halved_three_times_is_refused() -> None:
    with pytest.raises(ValueError, match="100 px was given; expected a multiple of 8"):
        network.build_network(size=100)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown head 'sepia'"):
        network.build_network("sepia")  # type: ignore[arg-type]


def maps(seed: int = 0) -> list[np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1, *shape)).astype(np.float32) for shape in MAP_SHAPES]


def test_with_its_weights_at_zero_the_map_changes_nothing() -> None:
    plain = network.build_network("both", 32, batch_norm=False)
    joined = network.build_network("both", 32, batch_norm=False, features="lite2")
    for layer in joined.layers:
        if layer.name in {each.name for each in plain.layers}:
            layer.set_weights(plain.get_layer(layer.name).get_weights())
    for name in ("map_ab", "map_bins", "map_expected"):
        layer = joined.get_layer(name)
        layer.set_weights([np.zeros_like(value) for value in layer.get_weights()])
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-1, 1, (1, 32, 32, 1)).astype(np.float32), rng.random((1, 1000)).astype(np.float32)]
    for with_map, without in zip(joined([*inputs, *maps()]), plain(inputs), strict=True):
        np.testing.assert_allclose(np.asarray(with_map), np.asarray(without), atol=1e-6)


def test_the_map_is_brought_to_whatever_side_the_scan_has() -> None:
    model = network.build_network("both", None, features="lite2")
    paper_head, vivid_head = model([np.zeros((1, 64, 64, 1)), np.zeros((1, 1000)), *maps()])
    assert tuple(paper_head.shape) == (1, 64, 64, 2)
    assert tuple(vivid_head.shape) == (1, 16, 16, 313)
