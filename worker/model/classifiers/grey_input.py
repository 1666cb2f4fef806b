"""The input of the classifiers: a scan's lightness as grey values, at the classifier's side."""

from typing import Any

from keras import ops

Tensor = Any


def classifier_input(grey: Tensor) -> Tensor:
    """Grey (batch, side, side, 1), 0..255 -> (batch, side, side, 3), -1..1, as InceptionResNetV2 expects."""
    return ops.repeat(grey / 127.5 - 1.0, 3, axis=-1)


def resized(images: Tensor, side_px: int) -> Tensor:
    """(batch, side, side, channels) -> the same with another side, smoothly and without aliasing."""
    if images.shape[1] == side_px:
        return images
    return ops.image.resize(images, (side_px, side_px), interpolation="bilinear", antialias=images.shape[1] > side_px)
