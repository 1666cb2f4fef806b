"""Grain and dust, made once: each crop takes a random part of a texture, so no step draws noise for every pixel.

A texture is periodic: its left edge continues at its right one.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TEXTURE_PX = 256
TEXTURES = 8  # of grain, from fine to coarse; as many of dust
COARSEST_PX = 1.2  # standard deviation of the blur that makes grain coarse
SPECKS = 60  # in a texture; a crop of 96 px shows 8 of them
SPECK_VALUES = (30.0, 235.0)  # black and white dust


def grain_textures() -> Floats:
    """Noise (textures, side, side) with a standard deviation of 1."""
    noise = np.random.default_rng(0).normal(size=(TEXTURES, TEXTURE_PX, TEXTURE_PX))
    frequencies = np.fft.fftfreq(TEXTURE_PX)
    squared = frequencies[:, None] ** 2 + frequencies[None] ** 2
    sigmas = np.linspace(0, COARSEST_PX, TEXTURES)[:, None, None]
    blurred = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-2 * (np.pi * sigmas) ** 2 * squared)).real
    return np.asarray(blurred / blurred.std((1, 2), keepdims=True), np.float32)


def dust_textures() -> Floats:
    """Specks (textures, side, side, 2): how much each covers a pixel, 0..1, and its grey, 0..255."""
    rng = np.random.default_rng(1)
    textures = np.zeros((TEXTURES, TEXTURE_PX, TEXTURE_PX, 2), np.float32)
    around = np.arange(-3, 4)
    for texture in textures:
        for _ in range(SPECKS):
            (x, y), radius = rng.integers(TEXTURE_PX, size=2), rng.uniform(0.5, 1.8)
            covers = np.clip(radius + 0.5 - np.hypot(around[:, None], around[None]), 0, 1)
            rows, columns = np.ix_((y + around) % TEXTURE_PX, (x + around) % TEXTURE_PX)
            seen = covers > texture[rows, columns, 0]
            texture[rows, columns, 0] = np.maximum(texture[rows, columns, 0], covers)
            texture[rows, columns, 1] = np.where(seen, rng.choice(SPECK_VALUES), texture[rows, columns, 1])
    return textures
