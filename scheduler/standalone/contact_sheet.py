"""The contact sheet: scans, outputs and colour originals side by side in one picture, for a README or a slide."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pyvips
from PIL import Image, ImageDraw, ImageFont

WIDTH, MAX_HEIGHT = 320, 400  # pixels of one picture; a row is as tall as its tallest
GAP = 16
HEAD = 34  # the line with the columns' names
PAPER, INK = "#f7f4ee", "#22201c"

Row = tuple[Path, Path, Path | None]  # the scan, the output, and the colour original if it is known


def contact_sheet(rows: Sequence[Row], path: Path) -> None:
    """Write a picture with one line for each row to `path` (.jpg or .png). About five rows fit a page.

    There is a column of colour originals if any row has one. Raises pyvips.Error if a file can't be opened as an image,
    and ValueError if there is no row.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    heads = ["Scan", "Photochrom"] + ["Colour original"] * any(row[2] for row in rows)
    strips = [_strip(row[: len(heads)]) for row in rows]
    sheet = Image.new("RGB", (strips[0].width, GAP + HEAD + sum(strip.height for strip in strips)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        draw.text((_left(column), GAP), head, INK, _font())
    top = GAP + HEAD
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(path, quality=88)


def _strip(files: Sequence[Path | None]) -> Image.Image:
    """One line of whole pictures, aligned at the top."""
    pictures = [_small(file) if file else None for file in files]
    tallest = max(picture.height for picture in pictures if picture)
    strip = Image.new("RGB", (_left(len(pictures)), tallest + GAP), PAPER)
    for column, picture in enumerate(pictures):
        if picture:
            strip.paste(picture, (_left(column) + (WIDTH - picture.width) // 2, 0))
    return strip


def _small(file: Path) -> Image.Image:
    small = pyvips.Image.thumbnail(str(file), WIDTH, height=MAX_HEIGHT).colourspace("srgb")
    small = small.flatten(background=[255]) if small.hasalpha() else small
    return Image.fromarray(np.asarray(small.numpy(), dtype=np.uint8))


def _left(column: int) -> int:
    return GAP + column * (WIDTH + GAP)


def _font() -> ImageFont.FreeTypeFont:
    # This font comes with Matplotlib, so the sheet is the same on a machine without fonts.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf", 17)
