"""The map: predicts the colour of each place from ImageNet features. The fusion adds it to the encoder's output.

It consists of small convolutions on the maps of `features`. It is first trained alone on cached features, and has two
heads of its own: a, b and the 313 bins at each place of the fine map. Sizes at the line ends are those of a 224x224
image.
"""

from typing import Any

import keras
from keras import layers, ops

from worker.model.ab_bins import AB_BIN_CENTRES
from worker.model.classifiers.features import FEATURES_PX, MAP_CHANNELS

Tensor = Any

MIDDLE_CHANNELS = 192
TRUNK_CHANNELS = 96
RESIDUALS = 2
COARSE_AB_SCALE = 10.0  # a, b in CIE units = this x the layer's output, so that Adam's steps have the right size
FEATURE_STRIDES = (8, 16, 32)


def feature_inputs(side_px: int = FEATURES_PX) -> list[keras.KerasTensor]:
    """Inputs for the three maps that `features.feature_maps` gives for a square of this side."""
    return [
        keras.Input((side_px // stride, side_px // stride, channels), name=f"features_{stride}")
        for stride, channels in zip(FEATURE_STRIDES, MAP_CHANNELS, strict=True)
    ]


def place_map(maps: list[keras.KerasTensor], batch_norm: bool = True, dropout: float = 0.0) -> keras.KerasTensor:
    """Three maps of strides 8, 16 and 32 -> (batch, 28, 28, 96), >= 0.

    The coarse map also gives its mean, so that each place knows what the whole scan shows.
    """
    fine, middle, coarse = maps
    everywhere = layers.UpSampling2D(2, name="map_coarse_up")(coarse)  # (batch, 14, 14, 352)
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="map_mean")(coarse)  # (batch, 1, 1, 352)
    whole = layers.UpSampling2D((middle.shape[1], middle.shape[2]), name="map_mean_everywhere")(whole)
    halved = layers.AveragePooling2D(2, name="map_fine_halved")(fine)  # (batch, 14, 14, 48)
    x = layers.Concatenate(name="map_joined")([halved, middle, everywhere, whole])  # (batch, 14, 14, 872)
    x = _dropped(x, dropout / 2, "map_dropout_1")
    x = _convolution(x, MIDDLE_CHANNELS, "map_project", 1, batch_norm)  # (batch, 14, 14, 192)
    for number in range(1, RESIDUALS + 1):
        y = _convolution(x, MIDDLE_CHANNELS, f"map_residual_{number}", 3, batch_norm)
        x = layers.Add(name=f"map_residual_{number}_sum")([x, y])
    x = _dropped(x, dropout, "map_dropout_2")
    x = layers.UpSampling2D(2, interpolation="bilinear", name="map_up")(x)  # (batch, 28, 28, 192)
    x = layers.Concatenate(name="map_with_fine")([x, fine])  # (batch, 28, 28, 240)
    x = _convolution(x, TRUNK_CHANNELS, "map_reduce", 1, batch_norm)
    x = _convolution(x, TRUNK_CHANNELS, "map_last", 3, batch_norm)  # (batch, 28, 28, 96)
    return _dropped(x, dropout, "map_dropout_3")


def coarse_colours(places: keras.KerasTensor, bins: keras.KerasTensor | None = None) -> keras.KerasTensor:
    """(batch, 28, 28, 96) -> the map's own a, b, CIE units, (batch, 28, 28, 2).

    With `bins`, the map's logits (batch, 28, 28, 313), a share of their mean colour is added, because a choice among
    colours is learned better than a mean colour, and both together are better than either.
    """
    x = layers.Conv2D(2, 1, dtype="float32", name="map_ab")(places)
    x = layers.Rescaling(COARSE_AB_SCALE, dtype="float32", name="map_ab_scale")(x)
    if bins is None:
        return x
    expected = ExpectedColours(dtype="float32", name="map_bins_mean")(bins)
    share = layers.Conv2D(2, 1, kernel_initializer="zeros", dtype="float32", name="map_expected")(expected)
    return layers.Add(dtype="float32", name="map_colours")([x, share])


def coarse_bins(places: keras.KerasTensor) -> keras.KerasTensor:
    """(batch, 28, 28, 96) -> the map's own logits of the 313 ab bins (batch, 28, 28, 313)."""
    return layers.Conv2D(len(AB_BIN_CENTRES), 1, dtype="float32", name="map_bins")(places)


@keras.saving.register_keras_serializable(package="photochrom")
class ExpectedColours(layers.Layer):  # type: ignore[misc]  # Keras tells no types
    """Bin logits (batch, h, w, 313) -> the mean a, b of the bins by their probabilities (batch, h, w, 2), CIE units."""

    def call(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        return ops.matmul(ops.softmax(logits, axis=-1), ops.convert_to_tensor(AB_BIN_CENTRES))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 2)


def build_map_network(batch_norm: bool = True, dropout: float = 0.0) -> keras.Model:
    """The map alone, for its first training: three maps -> a, b (batch, 28, 28, 2), bins (batch, 14, 14, 313).

    The bins are computed at every second place in both directions, because neighbours are alike.
    """
    inputs = feature_inputs()
    places = place_map(inputs, batch_norm, dropout)
    return keras.Model(inputs, [coarse_colours(places), coarse_bins(places[:, ::2, ::2])], name="place_map")


def _dropped(x: keras.KerasTensor, share: float, name: str) -> keras.KerasTensor:
    """Drops whole channels. Single values could be guessed from their neighbours, which are alike."""
    return layers.SpatialDropout2D(share, name=name)(x) if share else x


def _convolution(x: keras.KerasTensor, channels: int, name: str, side: int, batch_norm: bool) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels, side, padding="same", use_bias=not batch_norm, kernel_initializer="he_normal", name=name
    )(x)
    if batch_norm:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
