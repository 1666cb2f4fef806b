"""The fusion network: encoder, fusion with the embedding, decoder, and one of two heads.

It follows Ibraheem, Danach and Ghandour, IRJIET 8(5), 2024, whose network is that of Baldassarre, Morin and
Rodes-Guirao, "Deep Koalarization", arXiv:1712.03400. Sizes at the line ends are those of a 400x400 scan; the
network is fully convolutional, so any square whose side is a multiple of 8 can be trained on. Only Keras layers and
`keras.ops` are used, so it trains under any Keras backend.
"""

import math
from typing import Literal

import keras
from keras import layers

from worker.model.ab_bins import AB_BIN_CENTRES

Head = Literal["paper", "vivid"]
Heads = Literal["paper", "vivid", "both"]

HEADS: tuple[Head, ...] = ("paper", "vivid")
HEAD_LAYERS: dict[Head, tuple[str, ...]] = {"paper": ("decoder_4", "head_paper"), "vivid": ("head_vivid",)}  # their own
EMBEDDING_CLASSES = 1000
ENCODER_STAGES = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 1), (256, 1))  # channels, stride
FUSION_CHANNELS = 256
ENCODED_SHAPE = (50, 50, FUSION_CHANNELS)  # what a 400x400 scan is before its embedding joins
# Adam moves each weight by about the learning rate whatever its gradient, so what a layer's inputs are scaled by sets
# how far its output moves in one step: a, b / 128 are small and must move little, an embedding of length 1 must count.
HEAD_INPUT_SCALE = 0.1
EMBEDDING_SCALE = 10.0
AB_SCALE = 128.0  # a and b in CIE units = AB_SCALE x the network's output
TRAINING_MEAN_AB = (1.6, 7.7)  # mean a, b of the training photos: where an untrained network starts


def build_network(head: Heads = "paper", size: int | None = 400, batch_norm: bool = True) -> keras.Model:
    """The whole fusion network.

    Inputs: `lightness` (batch, size, size, 1), L* / 50 - 1, in -1..1; `embedding` (batch, 1000), the square roots
    of the class probabilities (a vector of length 1), or zeros where nothing is known.
    Output: `paper`: a, b / 128 (batch, size, size, 2), -1..1; `vivid`: logits of the 313 ab bins
    (batch, size / 4, size / 4, 313), for `annealed_mean`; `both`: a list of the two, for training them on one decoder.
    `size` None leaves the side open. `batch_norm` False builds the network that folded weights are for.
    Raises ValueError for an unknown head or a size that is not a multiple of 8.
    """
    if head not in (*HEADS, "both"):
        raise ValueError(f"unknown head {head!r}; expected one of {', '.join(HEADS)}, or both")
    if size is not None and size % 8:
        raise ValueError(f"a side of {size} px was given; expected a multiple of 8, for three halvings")
    lightness = keras.Input((size, size, 1), name="lightness")
    embedding = keras.Input((EMBEDDING_CLASSES,), name="embedding")
    encoded = encoder(lightness, batch_norm)  # (batch, 50, 50, 256)
    fused = fusion(encoded, embedding, batch_norm)  # (batch, 50, 50, 256)
    features = decoder(fused, batch_norm)  # (batch, 100, 100, 64)
    outputs = []
    if head in ("paper", "both"):
        outputs.append(paper_head(features, batch_norm))  # (batch, 400, 400, 2)
    if head in ("vivid", "both"):
        outputs.append(vivid_head(features))  # (batch, 100, 100, 313)
    return keras.Model([lightness, embedding], outputs if head == "both" else outputs[0], name=f"fusion_{head}")


def halves(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A `build_network` cut where the embedding joins: one scan can be decoded with many embeddings.

    Lightness (batch, 400, 400, 1) -> (batch, 50, 50, 256); and that, with an embedding -> the head's output.
    """
    lightness, embedding = model.inputs
    places = model.get_layer("fusion_encoder").output
    return keras.Model(lightness, places), keras.Model([places, embedding], model.output)


def encoder(lightness: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """(batch, 400, 400, 1) -> (batch, 50, 50, 256) by eight 3x3 convolutions, three of them of stride 2."""
    x = lightness
    for number, (channels, stride) in enumerate(ENCODER_STAGES, start=1):
        # 64 at 200; 128 at 200; 128, 256 at 100; 256, 512, 512, 256 at 50
        x = convolution(x, channels, f"encoder_{number}", stride=stride, batch_norm=batch_norm)
    return x


def fusion(encoded: keras.KerasTensor, embedding: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """The paper's fusion layer in its cheaper equal form.

    Repeating the embedding at each place, concatenating it to `encoded` and a 1x1 convolution is
    W [x; e] + c = Wx x + (We e + c): a 1x1 convolution of `encoded` plus a dense layer of the embedding, computed
    once and added at each place.
    (batch, 50, 50, 256) and (batch, 1000) -> (batch, 50, 50, 256), >= 0.
    """
    of_places = layers.Conv2D(FUSION_CHANNELS, 1, use_bias=False, name="fusion_encoder")(encoded)
    scaled = layers.Rescaling(EMBEDDING_SCALE, name="embedding_scale")(embedding)
    of_scan = layers.Dense(FUSION_CHANNELS, use_bias=not batch_norm, name="fusion_embedding")(scaled)
    of_scan = layers.Reshape((1, 1, FUSION_CHANNELS), name="fusion_everywhere")(of_scan)
    x = layers.Add(name="fusion_sum")([of_places, of_scan])
    if batch_norm:
        x = layers.BatchNormalization(name="fusion_norm")(x)
    return layers.ReLU(name="fusion_relu")(x)


def decoder(fused: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """(batch, 50, 50, 256) -> (batch, 100, 100, 64), the last features that both heads share."""
    x = convolution(fused, 128, "decoder_1", batch_norm=batch_norm)  # (batch, 50, 50, 128)
    x = layers.UpSampling2D(2, name="decoder_up_1")(x)  # (batch, 100, 100, 128)
    x = convolution(x, 64, "decoder_2", batch_norm=batch_norm)
    return convolution(x, 64, "decoder_3", batch_norm=batch_norm)  # (batch, 100, 100, 64)


def paper_head(features: keras.KerasTensor, batch_norm: bool = True) -> keras.KerasTensor:
    """(batch, 100, 100, 64) -> a, b / 128, (batch, 400, 400, 2), -1..1, starting at the training mean."""
    x = layers.UpSampling2D(2, name="decoder_up_2")(features)  # (batch, 200, 200, 64)
    x = convolution(x, 32, "decoder_4", batch_norm=batch_norm)  # (batch, 200, 200, 32)
    x = layers.Rescaling(HEAD_INPUT_SCALE, name="head_scale")(x)
    bias = keras.initializers.Constant([math.atanh(mean / AB_SCALE) for mean in TRAINING_MEAN_AB])
    x = layers.Conv2D(2, 3, padding="same", bias_initializer=bias, name="head_paper")(x)  # (batch, 200, 200, 2)
    x = layers.Activation("tanh", dtype="float32", name="head_tanh")(x)  # -1..1
    # Smoothly, so that no blocks of 2x2 pixels show.
    return layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="head_up")(x)  # (batch, 400, 400, 2)


def vivid_head(features: keras.KerasTensor) -> keras.KerasTensor:
    """(batch, 100, 100, 64) -> logits of the 313 ab bins, (batch, 100, 100, 313)."""
    return layers.Conv2D(len(AB_BIN_CENTRES), 1, dtype="float32", name="head_vivid")(features)


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
