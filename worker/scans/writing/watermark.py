"""A small visible mark in a corner of the picture, such as with `--label "Colourized"`."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.arrays import Pixels
from worker.errors import UsageError
from worker.scans.geometry import Box

LONGEST = 80  # letters
_HEIGHT = 0.022  # the letters' size, as a share of the picture's shorter side
_SMALLEST, _LARGEST = 8, 240  # pixels
_PLATE = 0.55  # how strongly the plate behind the letters covers the picture, 0..1
_WIDEST = 0.9  # the widest and highest plate, as a share of the picture
_MARGIN = 0.5  # around the plate and within it, as a share of the letters' size


def check_label(text: str) -> None:
    """Raises UsageError for a text that can't be shown: too long, with several lines, or with letters that the font
    lacks.
    """
    if not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise UsageError(f"--label {text!r}: expected 1 to {LONGEST} letters in one line")
    unknown = _shown("\uffff")
    missing = sorted({letter for letter in text if not letter.isspace() and _shown(letter) == unknown})
    if missing:
        raise UsageError(f"--label {text!r}: the font lacks {''.join(missing)!r}; expected other letters")


class Label:
    """The mark of one scan, in the lower right corner of its picture."""

    def __init__(self, text: str, picture: Box) -> None:
        """`picture` is in the scan's pixels. `fits` is False if it has no room for letters of 8 pixels."""
        size = min(_LARGEST, max(_SMALLEST, round(_HEIGHT * min(picture.width, picture.height))))
        while size > _SMALLEST and _room(text, size)[0] > _WIDEST * picture.width:
            size -= 1
        width, height = _room(text, size)
        margin = round(_MARGIN * size)
        self.fits = width <= _WIDEST * picture.width and height <= _WIDEST * picture.height
        left = max(picture.left, picture.left + picture.width - width - margin)
        top = max(picture.top, picture.top + picture.height - height - margin)
        self._box = Box(left, top, width, height)
        letters = _letters(text, size, width, height) if self.fits else np.zeros((0, 0), np.float32)
        self._keep = ((1 - _PLATE) * (1 - letters))[..., None]  # (height, width, 1): the share of the picture
        self._add = letters[..., None]  # (height, width, 1): the share of white

    def stamp(self, top: int, colours: Pixels) -> None:
        """Put the mark's rows into `colours` (rows, width, 3 or 4), whose first row is the scan's row `top`."""
        box = self._box
        first, last = max(top, box.top), min(top + len(colours), box.top + box.height)
        if not self.fits or first >= last:
            return
        white = np.iinfo(colours.dtype).max
        part = colours[first - top : last - top, box.left : box.left + box.width]
        keep, add = (plate[first - box.top : last - box.top] for plate in (self._keep, self._add))
        part[..., :3] = np.rint(part[..., :3] * keep + add * white)
        part[..., 3:] = white


def _letters(text: str, size: int, width: int, height: int) -> NDArray[np.float32]:
    """How much of each pixel of the plate the letters cover, 0..1: (height, width)."""
    plate = Image.new("L", (width, height))
    ImageDraw.Draw(plate).text((width / 2, height / 2), text, fill=255, font=_font(size), anchor="mm")
    return np.asarray(plate, np.float32) / np.float32(255)


def _room(text: str, size: int) -> tuple[int, int]:
    """Width and height of the plate."""
    return round(_font(size).getlength(text) + 2 * _MARGIN * size), round(size * (1 + 2 * _MARGIN))


def _shown(letter: str) -> bytes:
    return bytes(_font(20).getmask(letter))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, because a machine may have no fonts of its own."""
    package = importlib.util.find_spec("matplotlib")
    assert package is not None
    assert package.origin is not None
    return ImageFont.truetype(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)
