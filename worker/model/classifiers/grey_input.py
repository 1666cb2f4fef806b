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


def lightness_to_grey(lightness: Tensor) -> Tensor:
    """L*, 0..100 -> sRGB grey, 0..255; the same as `lab.lightness_to_grey`, as tensors."""
    f = (lightness + 16.0) / 116.0
    luminance = ops.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    luminance = ops.clip(luminance, 0.0, 1.0)
    # Near 0 the power has no finite slope; there the other branch is taken.
    bright = 1.055 * ops.maximum(luminance, 0.0031308) ** (1 / 2.4) - 0.055
    return 255.0 * ops.where(luminance > 0.0031308, bright, 12.92 * luminance)
