"""The looks of old photographs, for a batch at once: emulsion, tone, fading, blur, uneven paper, vignette, grain, dust,
scratches and JPEG.

Until the 1930s, films and plates recorded blue, and little or no red. So the grey of a real scan is not L*. Here it
comes from random weights of linear red, green and blue, from blue-only to panchromatic.
"""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.colour import lab_tensors
from worker.training.augmentation.draws import BLUR_TAPS, PATCHES
from worker.training.augmentation.textures import TEXTURE_PX

Floats = NDArray[np.float32]

BLOCK_PX = 8
# ITU-T T.81, table K.1: how coarsely JPEG keeps each frequency of the lightness at quality 50.
QUANTIZATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def old_lightness(light: Any, look: dict[str, Any], grain: Any, dust: Any) -> Any:
    """Linear R, G, B of crops (batch, side, side, 3), 0..1 -> L* (batch, side, side), 0..100, of an old photograph.

    `look` is of `draw_looks`; `grain` and `dust` are the textures.
    """
    side = light.shape[1]
    luminance = ops.clip(ops.sum(light * look["emulsion"][:, None, None], axis=-1), 0.0, 1.0)
    grey = 255 * ops.power(ops.maximum(lab_tensors.linear_to_srgb(luminance), 1e-6), look["gamma"][:, None, None])
    middle = look["middle"][:, None, None]
    grey = (grey - middle) * look["contrast"][:, None, None] + middle
    grey = blurred(grey, look["blur"]) * paper(look["patches"], look["vignette"], side)
    grey = grey + look["grain"][:, None, None] * part_of(grain, look["grain_texture"], look["grain_place"], side)
    specks = part_of(dust, look["dust_texture"], look["dust_place"], side)
    grey = covered(grey, specks[..., 0] * look["dust"][:, None, None], specks[..., 1])
    grey = scratched(grey, look["scratch"], look["scratch_x"], look["scratch_slope"])
    grey = compressed(ops.clip(grey, 0.0, 255.0), look["quality"])
    return lab_tensors.luminance_to_lightness(lab_tensors.srgb_to_linear(ops.clip(grey / 255, 0.0, 1.0)))


def blurred(grey: Any, kernels: Any) -> Any:
    """Each picture (batch, side, side) by its own kernel (batch, 7), in both directions."""
    side, reach = grey.shape[1], BLUR_TAPS // 2
    padded = ops.pad(grey, [[0, 0], [reach, reach], [reach, reach]], mode="symmetric")
    taps = [kernels[:, tap, None, None] for tap in range(BLUR_TAPS)]
    rows = sum(taps[tap] * padded[:, tap : tap + side] for tap in range(BLUR_TAPS))
    return sum(taps[tap] * rows[:, :, tap : tap + side] for tap in range(BLUR_TAPS))


def paper(patches: Any, vignette: Any, side_px: int) -> Any:
    """Smooth factors (batch, side, side): uneven paper by patches (batch, 4, 4), and corners that get darker."""
    spread = _spread(side_px)
    uneven = ops.matmul(ops.matmul(spread, patches), np.ascontiguousarray(spread.T))
    middle = (np.arange(side_px, dtype=np.float32) + 0.5) / side_px * 2 - 1
    squared = (middle[:, None] ** 2 + middle[None] ** 2) / 2
    return uneven * (1 - vignette[:, None, None] * squared)


def part_of(textures: Any, numbers: Any, places: Any, side_px: int) -> Any:
    """The part of each texture that begins at its place (batch, 2): (batch, side, side, ...)."""
    steps = ops.arange(side_px, dtype="int32")
    rows = ops.mod(places[:, 0, None] + steps, TEXTURE_PX)[:, :, None]
    columns = ops.mod(places[:, 1, None] + steps, TEXTURE_PX)[:, None, :]
    flat = ops.reshape(textures, (-1, *textures.shape[3:]))
    return ops.take(flat, (numbers[:, None, None] * TEXTURE_PX + rows) * TEXTURE_PX + columns, axis=0)


def covered(grey: Any, covers: Any, values: Any) -> Any:
    """`grey` and `values` (batch, side, side), 0..255, mixed: `grey` where `covers` is 0, `values` where it is 1."""
    return grey + covers * (values - grey)


def scratched(grey: Any, values: Any, starts: Any, slopes: Any) -> Any:
    """Adds a scratch to each picture (batch, side, side): a line one pixel wide from top to bottom, in the grey of its
    value.

    A picture with a value below 0 gets none.
    """
    side = grey.shape[1]
    at = ops.arange(side, dtype="float32")
    x = (starts * side)[:, None, None] + slopes[:, None, None] * at[None, :, None]
    covers = ops.clip(1 - ops.abs(at[None, None, :] - x), 0.0, 1.0)
    drawn = ops.cast(values >= 0, "float32")[:, None, None]
    return covered(grey, covers * drawn, values[:, None, None])


def compressed(grey: Any, quality: Any) -> Any:
    """Grey (batch, side, side), 0..255, as a JPEG of this quality (batch,) keeps it; 0 changes nothing.

    The frequencies of each 8x8 px are rounded to multiples of T.81's table, scaled as libjpeg scales it.
    """
    side, padding = grey.shape[1], -grey.shape[1] % BLOCK_PX
    padded = ops.pad(grey, [[0, 0], [0, padding], [0, padding]], mode="symmetric") if padding else grey
    blocks = padded.shape[1] // BLOCK_PX
    tiles = ops.transpose(ops.reshape(padded - 128, (-1, blocks, BLOCK_PX, blocks, BLOCK_PX)), (0, 1, 3, 2, 4))
    cosines = _cosines()
    turned = np.ascontiguousarray(cosines.T)
    percent = ops.where(quality < 50, 5000 / ops.maximum(quality, 1.0), 200 - 2 * quality)
    table = ops.clip(ops.floor((percent[:, None, None] * QUANTIZATION + 50) / 100), 1.0, 255.0)[:, None, None]
    rounded = ops.round(ops.matmul(ops.matmul(cosines, tiles), turned) / table) * table
    tiles = ops.transpose(ops.matmul(ops.matmul(turned, rounded), cosines), (0, 1, 3, 2, 4))
    result = ops.clip(ops.reshape(tiles, (-1, blocks * BLOCK_PX, blocks * BLOCK_PX)) + 128, 0.0, 255.0)
    return ops.where(quality[:, None, None] > 0, result[:, :side, :side], grey)


def _cosines() -> Floats:
    """The orthonormal DCT of 8 values (8, 8)."""
    frequency, place = np.arange(BLOCK_PX)[:, None], np.arange(BLOCK_PX)[None]
    waves = np.cos((2 * place + 1) * frequency * np.pi / (2 * BLOCK_PX)) * np.sqrt(2 / BLOCK_PX)
    return np.asarray(np.where(frequency == 0, waves / np.sqrt(2), waves), np.float32)


def _spread(side_px: int) -> Floats:
    """(side, 4): each pixel's shares of the patches, a raised cosine between the two nearest ones."""
    place = np.clip((np.arange(side_px) + 0.5) / side_px * PATCHES - 0.5, 0, PATCHES - 1)
    distance = np.minimum(np.abs(place[:, None] - np.arange(PATCHES)[None]), 1)
    return np.asarray((1 + np.cos(np.pi * distance)) / 2, np.float32)
