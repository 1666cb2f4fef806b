"""Contact sheets: grey, result and original side by side, for the eye, which figures can't replace."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import lab_to_rgb

Floats = NDArray[np.float32]

GAP_PX = 4
LABEL_PX = 20  # the height of the line of labels
LETTER_PX = 6  # a letter's width


def contact_sheet(
    path: Path, lightness: Floats, results: Sequence[Floats], columns: int = 3, side_px: int = 200,
    labels: Sequence[str] = (),
) -> None:  # fmt: skip
    """Writes a PNG. Each photo is a strip: grey, then each of `results`; `labels` say above what each of them is.

    `lightness` (n, side, side), L*; each of `results` (n, side, side, 2), a*, b*, the original usually last.
    """
    strips = []
    for photo, light in enumerate(lightness):
        pictures = (np.zeros_like(results[0][photo]), *(result[photo] for result in results))
        strips.append(np.hstack([_picture(light, ab, side_px) for ab in pictures]))
    blank = np.full_like(strips[0], 255)
    strips += [blank] * (-len(strips) % columns)
    rows = [np.hstack([_framed(strip) for strip in strips[k : k + columns]]) for k in range(0, len(strips), columns)]
    if labels:
        rows.insert(0, np.hstack([_labelled(labels, strips[0].shape[1] + 2 * GAP_PX, side_px)] * columns))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _labelled(labels: Sequence[str], width: int, side_px: int) -> NDArray[np.uint8]:
    """A white strip (LABEL_PX, width, 3) with each label above its picture, as much of it as there is room for."""
    strip = np.full((LABEL_PX, width, 3), 255, np.uint8)
    for place, label in enumerate(labels):
        text = label[: max(1, side_px // LETTER_PX)]
        start = (GAP_PX + place * side_px, LABEL_PX - 6)
        cv2.putText(strip, text, start, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _picture(lightness: Floats, ab: Floats, side_px: int) -> NDArray[np.uint8]:
    rgb = np.round(255 * lab_to_rgb(np.concatenate([lightness[..., None], ab], axis=-1)))
    return np.asarray(cv2.resize(rgb.astype(np.uint8), (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def _framed(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(strip, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)
