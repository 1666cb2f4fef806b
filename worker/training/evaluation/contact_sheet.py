"""Contact sheets: grey, result and original side by side, for the eye, which figures can't replace."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import lab_to_rgb

Floats = NDArray[np.float32]

GAP_PX = 4


def contact_sheet(
    path: Path, lightness: Floats, results: Sequence[Floats], columns: int = 3, side_px: int = 200
) -> None:
    """Writes a PNG. Each photo is a strip: grey, then each of `results`.

    `lightness` (n, side, side), L*; each of `results` (n, side, side, 2), a*, b*, the original usually last.
    """
    strips = []
    for photo in range(len(lightness)):
        grey = np.zeros_like(results[0][photo])
        strips.append(
            np.hstack(
                [_picture(lightness[photo], ab, side_px) for ab in (grey, *(result[photo] for result in results))]
            )
        )
    blank = np.full_like(strips[0], 255)
    strips += [blank] * (-len(strips) % columns)
    rows = [np.hstack([_framed(strip) for strip in strips[k : k + columns]]) for k in range(0, len(strips), columns)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _picture(lightness: Floats, ab: Floats, side_px: int) -> NDArray[np.uint8]:
    rgb = np.round(255 * lab_to_rgb(np.concatenate([lightness[..., None], ab], axis=-1)))
    return np.asarray(cv2.resize(rgb.astype(np.uint8), (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def _framed(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(strip, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)
