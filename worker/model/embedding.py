"""The embedding: InceptionResNetV2's 1000 ImageNet class probabilities for a scan.

Where its weights come from is a choice by name: `bundled` (those of the checkpoint), `imagenet` (Keras' own, fetched
once and cached by Keras where the machine can), or a file of Keras weights of `keras.applications`' InceptionResNetV2.
The fusion network gets the square roots of the probabilities: vectors of length 1 in which the second and third guess
still count, and whose scale is the same for every classifier, so that weights can be exchanged.
"""

from pathlib import Path
from typing import Any

import keras
from keras import ops

from worker.errors import CheckpointError
from worker.model import inception_resnet_v2
from worker.model.weights_io import Layers

Tensor = Any

EMBEDDING_PX = 299  # the side that InceptionResNetV2 was made for
ARCHITECTURE = "inception_resnet_v2"


def embed(lightness: Tensor, layers: Layers, side_px: int = EMBEDDING_PX, temperature: float = 1.0) -> Tensor:
    """L* (batch, side, side, 1), 0..100 -> square roots of class probabilities (batch, 1000), 0..1, length 1."""
    grey = lightness_to_grey(lightness)
    resized = ops.image.resize(grey, (side_px, side_px), antialias=True)  # (batch, 299, 299, 1), 0..255
    scores = inception_resnet_v2.logits(classifier_input(resized), layers)  # (batch, 1000)
    return ops.sqrt(ops.softmax(scores / temperature))


def classifier_input(grey: Tensor) -> Tensor:
    """Grey (batch, side, side, 1), 0..255 -> (batch, side, side, 3), -1..1, as InceptionResNetV2 expects."""
    return ops.repeat(grey / 127.5 - 1.0, 3, axis=-1)


def lightness_to_grey(lightness: Tensor) -> Tensor:
    """L*, 0..100 -> sRGB grey, 0..255; the same as `lab.lightness_to_grey`, as tensors."""
    f = (lightness + 16.0) / 116.0
    luminance = ops.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    luminance = ops.clip(luminance, 0.0, 1.0)
    # The power of a number near 0 has no finite slope; where's other branch is taken there.
    bright = 1.055 * ops.maximum(luminance, 0.0031308) ** (1 / 2.4) - 0.055
    return 255.0 * ops.where(luminance > 0.0031308, bright, 12.92 * luminance)


def build_classifier(side_px: int = EMBEDDING_PX, weights: str | None = None) -> keras.Model:
    """`keras.applications`' InceptionResNetV2, (batch, side, side, 3), -1..1 -> class logits (batch, 1000)."""
    return keras.applications.InceptionResNetV2(
        weights=weights, input_shape=(side_px, side_px, 3), classifier_activation=None
    )


def load_keras_layers(source: str) -> Layers:
    """The layers of `imagenet` or of a file of Keras weights, batch norms folded in.

    Raises CheckpointError if the weights can't be fetched or do not fit.
    """
    try:
        if source == "imagenet":
            return inception_resnet_v2.fold(build_classifier(weights="imagenet"))
        return inception_resnet_v2.fold(_from_file(Path(source)))
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"the embedding {source!r} can't be had ({reason}); give 'bundled', 'imagenet' where the machine reaches "
            "the internet, or a file of Keras weights of InceptionResNetV2"
        ) from None


def _from_file(path: Path) -> keras.Model:
    if not path.is_file():
        raise CheckpointError(
            f"the embedding {str(path)!r} is no file; give 'bundled', 'imagenet' or a file of Keras weights"
        )
    model = build_classifier()
    model.load_weights(path)
    return model
