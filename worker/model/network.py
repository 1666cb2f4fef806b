"""The fusion network: encoder, fusion with the embedding and the map, decoder, and one of two heads.

It follows Ibraheem, Danach and Ghandour, IRJIET 8(5), 2024, whose network is that of Baldassarre, Morin and
Rodes-Guirao, "Deep Koalarization", arXiv:1712.03400. Sizes at the line ends are those of a 400x400 scan; the
network is fully convolutional, so any square whose side is a multiple of 8 can be trained on. Only Keras layers and
`keras.ops` are used, so it trains under any Keras backend.

One part is not in the paper, and is left out with `features="none"`: the map of `place_map`, which has ImageNet
features for each place. It is added where the embedding is added, and its own a, b and bins are added to the heads'
outputs. If its weights are zero, the network is the paper's, so checkpoints without a map can be loaded unchanged.
"""

import math
from typing import Literal

import keras
from keras import layers, ops

from worker.model.ab_bins import AB_BIN_CENTRES
from worker.model.place_map import coarse_bins, coarse_colours, feature_inputs, place_map

Head = Literal["paper", "vivid"]
Features = Literal["none", "lite2"]  # where the map comes from
Heads = Literal["paper", "vivid", "both"]

HEADS: tuple[Head, ...] = ("paper", "vivid")
HEAD_LAYERS: dict[Head, tuple[str, ...]] = {  # the layers of one head only
    "paper": ("decoder_4", "head_paper", "map_ab", "map_expected"),
    "vivid": ("head_vivid",),
}
EMBEDDING_CLASSES = 1000
ENCODER_STAGES = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 1), (256, 1))  # channels, stride
FUSION_CHANNELS = 256
ENCODED_SHAPE = (50, 50, FUSION_CHANNELS)  # the encoder's output for a 400x400 scan
# Adam moves each weight by about the learning rate, whatever its gradient is. So the scale of a layer's inputs decides
# how far its output moves in one step: a, b / 128 are small and must move little, but an embedding of length 1 must
# have an effect.
HEAD_INPUT_SCALE = 0.1
EMBEDDING_SCALE = 10.0
AB_SCALE = 128.0  # a and b in CIE units = AB_SCALE x the network's output
TRAINING_MEAN_AB = (1.6, 7.7)  # mean a, b of the training photos of `first`; an untrained network starts there


def build_network(
    head: Heads = "paper", size: int | None = 400, batch_norm: bool = True, features: Features = "none",
    dropout: float = 0.0,
) -> keras.Model:  # fmt: skip
    """The whole fusion network.

    Inputs: `lightness` (batch, size, size, 1), L* / 50 - 1, in -1..1; `embedding` (batch, 1000), the square roots of
    the class probabilities (a vector of length 1), or zeros without an embedding; with `features`, the three maps of a
    square of 224 px, (batch, 28, 28, 48), (batch, 14, 14, 120), (batch, 7, 7, 352), whatever `size` is. Output:
    `paper`: a, b / 128 (batch, size, size, 2), about -1..1; `vivid`: logits of the 313 ab bins (batch, size / 4, size /
    4, 313), for `annealed_mean`; `both`: a list of the two, for training them on one decoder. With `size` None any side
    is possible. `batch_norm` False builds the network for folded weights. `dropout` is for the map. Raises ValueError
    for an unknown head or a size that is not a multiple of 8.
    """
    if head not in (*HEADS, "both"):
        raise ValueError(f"unknown head {head!r}; expected one of {', '.join(HEADS)}, or both")
    if size is not None and size % 8:
        raise ValueError(f"a side of {size} px was given; expected a multiple of 8, for three halvings")
    lightness = keras.Input((size, size, 1), name="lightness")
    embedding = keras.Input((EMBEDDING_CLASSES,), name="embedding")
    maps = feature_inputs() if features == "lite2" else []
    places = place_map(maps, batch_norm, dropout) if maps else None  # (batch, 28, 28, 96)
    encoded = encoder(lightness, batch_norm)  # (batch, 50, 50, 256)
    fused = fusion(encoded, embedding, batch_norm, places)  # (batch, 50, 50, 256)
    decoded = decoder(fused, batch_norm)  # (batch, 100, 100, 64)
    bins = coarse_bins(places) if maps else None  # (batch, 28, 28, 313)
    outputs = []
    if head in ("paper", "both"):
        outputs.append(paper_head(decoded, batch_norm, coarse_colours(places, bins) if maps else None))
    if head in ("vivid", "both"):
        outputs.append(vivid_head(decoded, bins))  # (batch, 100, 100, 313)
    inputs = [lightness, embedding, *maps]
    return keras.Model(inputs, outputs if head == "both" else outputs[0], name=f"fusion_{head}")


def halves(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A `build_network` cut into two where the embedding joins, so that one scan can be decoded with many embeddings.

    Lightness (batch, 400, 400, 1) -> (batch, 50, 50, 256); and that, with an embedding and the features' maps if the
    network has them -> the head's output.
    """
    lightness, *other_inputs = model.inputs
    places = model.get_layer("fusion_encoder").output
    return keras.Model(lightness, places), keras.Model([places, *other_inputs], model.output)


@keras.saving.register_keras_serializable(package="photochrom")
class ResizeLike(layers.Layer):  # type: ignore[misc]  # Keras tells no types
    """[(batch, h, w, c), (batch, height, width, any)] -> the first, resized bilinearly to the second's height and
    width.
    """

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        values, like = inputs
        height, width = ops.shape(like)[1:3]
        if (height, width) == tuple(values.shape[1:3]):
            return values
        return ops.image.resize(values, (height, width), interpolation="bilinear")

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        values, like = input_shape
        return (values[0], *like[1:3], values[3])


def encoder(lightness: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """(batch, 400, 400, 1) -> (batch, 50, 50, 256) by eight 3x3 convolutions, three of them of stride 2."""
    x = lightness
    for number, (channels, stride) in enumerate(ENCODER_STAGES, start=1):
        # 64 at 200; 128 at 200; 128, 256 at 100; 256, 512, 512, 256 at 50
        x = convolution(x, channels, f"encoder_{number}", stride=stride, batch_norm=batch_norm)
    return x


def fusion(
    encoded: keras.KerasTensor, embedding: keras.KerasTensor, batch_norm: bool = True,
    places: keras.KerasTensor | None = None,
) -> keras.KerasTensor:  # fmt: skip
    """Adds the embedding and the map to the encoder's output.

    The result is that of the paper's fusion layer, at a lower cost. The paper repeats the embedding e at each place,
    joins it to `encoded` x, and applies a 1x1 convolution: W [x; e] + c = Wx x + (We e + c). Here this is a 1x1
    convolution of `encoded`, and a dense layer of the embedding, which is computed once and added at each place. The
    map m adds resize(Wm m), where Wm starts at zero.

    (batch, 50, 50, 256), (batch, 1000), (batch, 28, 28, 96) -> (batch, 50, 50, 256), >= 0.
    """
    of_places = layers.Conv2D(FUSION_CHANNELS, 1, use_bias=False, name="fusion_encoder")(encoded)
    scaled = layers.Rescaling(EMBEDDING_SCALE, name="embedding_scale")(embedding)
    of_scan = layers.Dense(FUSION_CHANNELS, use_bias=not batch_norm, name="fusion_embedding")(scaled)
    parts = [of_places, layers.Reshape((1, 1, FUSION_CHANNELS), name="fusion_everywhere")(of_scan)]
    if places is not None:
        of_map = layers.Conv2D(FUSION_CHANNELS, 1, use_bias=False, kernel_initializer="zeros", name="fusion_map")(
            places
        )
        parts.append(ResizeLike(name="fusion_map_resized")([of_map, of_places]))
    x = layers.Add(name="fusion_sum")(parts)
    if batch_norm:
        x = layers.BatchNormalization(name="fusion_norm")(x)
    return layers.ReLU(name="fusion_relu")(x)


def decoder(fused: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """(batch, 50, 50, 256) -> (batch, 100, 100, 64), the last features that both heads share."""
    x = convolution(fused, 128, "decoder_1", batch_norm=batch_norm)  # (batch, 50, 50, 128)
    x = layers.UpSampling2D(2, name="decoder_up_1")(x)  # (batch, 100, 100, 128)
    x = convolution(x, 64, "decoder_2", batch_norm=batch_norm)
    return convolution(x, 64, "decoder_3", batch_norm=batch_norm)  # (batch, 100, 100, 64)


def paper_head(
    decoded: keras.KerasTensor, batch_norm: bool = True, map_colours: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """(batch, 100, 100, 64) -> a, b / 128, (batch, 400, 400, 2), starting at the training mean.

    The output is in -1..1 without a map. With a map, its own a, b are added.
    """
    x = layers.UpSampling2D(2, name="decoder_up_2")(decoded)  # (batch, 200, 200, 64)
    x = convolution(x, 32, "decoder_4", batch_norm=batch_norm)  # (batch, 200, 200, 32)
    x = layers.Rescaling(HEAD_INPUT_SCALE, name="head_scale")(x)
    bias = keras.initializers.Constant([math.atanh(mean / AB_SCALE) for mean in TRAINING_MEAN_AB])
    x = layers.Conv2D(2, 3, padding="same", bias_initializer=bias, name="head_paper")(x)  # (batch, 200, 200, 2)
    x = layers.Activation("tanh", dtype="float32", name="head_tanh")(x)  # -1..1
    if map_colours is not None:
        of_map = layers.Rescaling(1 / AB_SCALE, dtype="float32", name="map_ab_share")(map_colours)
        of_map = ResizeLike(dtype="float32", name="map_ab_resized")([of_map, x])
        x = layers.Add(dtype="float32", name="head_sum")([x, of_map])
    # Bilinear, so that no blocks of 2x2 pixels can be seen.
    return layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="head_up")(x)  # (batch, 400, 400, 2)


def vivid_head(decoded: keras.KerasTensor, map_bins: keras.KerasTensor | None = None) -> keras.KerasTensor:
    """(batch, 100, 100, 64) -> logits of the 313 ab bins, (batch, 100, 100, 313); the map's own are added."""
    x = layers.Conv2D(len(AB_BIN_CENTRES), 1, dtype="float32", name="head_vivid")(decoded)
    if map_bins is None:
        return x
    of_map = ResizeLike(dtype="float32", name="map_bins_resized")([map_bins, x])
    return layers.Add(dtype="float32", name="head_vivid_sum")([x, of_map])


def convolution(
    x: keras.KerasTensor, channels: int, name: str, stride: int = 1, batch_norm: bool = True
) -> keras.KerasTensor:
    """3x3 convolution, batch normalization, ReLU: (batch, h, w, c) -> (batch, h / stride, w / stride, channels)."""
    x = layers.Conv2D(
        channels, 3, strides=stride, padding="same", use_bias=not batch_norm, kernel_initializer="he_normal", name=name
    )(x)
    if batch_norm:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
