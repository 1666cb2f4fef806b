"""Finds the picture inside the borders of a film scan: black rebates with perforations and edge print, and mounts.

Colour on a rebate is wrong, and a black frame changes the colours that the model predicts. But a box that cuts into the
picture is worse than no box. So a side is cut only if it looks like film: from the edge on, lines of the same black
except for holes and print, and then, within a few lines, something else.
"""

import numpy as np
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.scans.geometry import Box
from worker.scans.reading.model_input import fit

_SIDE = 480  # pixels of the longer side, on which borders are looked for
_SMALLEST = 64  # pixels; in smaller scans no borders are looked for
_DEEPEST = 0.16  # the widest border, as a share of the side
_BLACKEST, _WHITEST = 72, 160  # levels of 255: a rebate is darker, holes, print and mounts are brighter
_ALIKE = 14  # levels of 255 within which a rebate is one black
_SOLID = 0.88  # the share of a line's pixels that are black, in a border's last line
_BORDER = 0.85  # the share of a line's pixels that are black, hole, print or mount
_LINES = 0.7  # the share of a border's lines that are such lines: print has soft edges
_LEAST_SIDES = 3  # with a border: photographs have dark skies or floors, but seldom three dark sides
_EDGE = 0.04  # the share of a side within which the border changes to the picture
_DROP = 0.35  # the share of a line's pixels that stop being black there
_MARGIN = 0.15  # the share of a line that is left out at both ends, until the borders there are known

Levels = NDArray[np.uint8]


def find_picture(grey: Pixels) -> Box | None:
    """The picture's box in sRGB grey (height, width), 8 or 16 bits; None if no border is certain."""
    height, width = grey.shape
    if min(height, width) < _SMALLEST:
        return None
    small = _small(grey)
    rows, columns = small.shape
    top, bottom = _ends(small[:, round(_MARGIN * columns) : round((1 - _MARGIN) * columns)])
    left, right = _ends(small[top:bottom].T)
    top, bottom = _ends(small[:, left:right])
    if sum((top > 0, bottom < rows, left > 0, right < columns)) < _LEAST_SIDES:
        return None
    return scaled(Box(left, top, right - left, bottom - top), width / columns, height / rows)


def _small(grey: Pixels) -> Levels:
    share = min(1.0, _SIDE / max(grey.shape))
    height, width = (max(1, round(side * share)) for side in grey.shape)
    small = fit(grey, Box(0, 0, width, height))
    levels: Levels = (small if small.dtype == np.uint8 else small >> 8).astype(np.uint8, copy=False)
    return levels


def _ends(lines: Levels) -> tuple[int, int]:
    """The first line of the picture, and the one after its last."""
    return _depth(lines), len(lines) - _depth(lines[::-1])


def _depth(lines: Levels) -> int:
    """The number of lines, from the first one on, that belong to a border; `lines` (lines, samples)."""
    deepest, edge = round(_DEEPEST * len(lines)), max(2, round(_EDGE * len(lines)))
    outer = lines[:deepest]
    bright = np.count_nonzero(outer > _WHITEST, axis=1) / lines.shape[1]
    for line, black in _solid_lines(outer):
        depth = line + 1
        dark = (np.abs(lines[: depth + edge].astype(np.int16) - black) <= _ALIKE).mean(axis=1)
        gives_way = dark[line] - dark[depth:].min() >= _DROP
        if gives_way and (dark[:depth] + bright[:depth] >= _BORDER).mean() >= _LINES:
            return depth
    return 0


def _solid_lines(lines: Levels) -> list[tuple[int, int]]:
    """The lines that are almost wholly of one black, and its level; the last line comes first."""
    # A median takes long, and it can be black only if half of the line is black.
    dark = np.flatnonzero(2 * np.count_nonzero(lines <= _BLACKEST, axis=1) >= lines.shape[1])
    if not len(dark):
        return []
    black = np.median(lines[dark], axis=1).astype(np.int16)
    alike = np.count_nonzero(np.abs(lines[dark] - black[:, None]) <= _ALIKE, axis=1)
    solid = (black <= _BLACKEST) & (alike >= _SOLID * lines.shape[1])
    return list(zip(dark[solid][::-1].tolist(), black[solid][::-1].tolist(), strict=True))


def scaled(box: Box, across: float, down: float) -> Box:
    """The box in the scan's own pixels. It is one sample smaller on each side that was cut, because the last sample may
    be half border.
    """
    left, top = int(np.ceil(box.left * across)), int(np.ceil(box.top * down))
    right, bottom = int((box.left + box.width) * across), int((box.top + box.height) * down)
    return Box(left, top, right - left, bottom - top)
