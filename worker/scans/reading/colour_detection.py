"""Decides whether a scan is in colour, or grey with a tone: sepia, cyanotype, selenium, yellowed paper, a scanner's
cast.

A toned picture has one colour for each lightness; only fading, stains and noise differ from it. So each pixel is
compared with the usual colour of its lightness. A small distance in another hue counts already; in the tone's own hue a
larger one is allowed, because prints fade unevenly. A coloured stamp or a colour target is a small share of the pixels;
the coloured objects of a photograph are a large share.

The constants come from 206 colour photographs and six kinds of toned prints of each, in JPEG at quality 80 with uneven
fading, noise, split tones or a red stamp. With them, 94 % of the photographs and 1 % of the toned prints are taken for
colour.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.colour.icc_reader import PROFILE_FIELD
from worker.scans.reading.grey import in_16_bits
from worker.scans.reading.loading import load, reading
from worker.scans.reading.scan_file import ScanFile
from worker.scans.reading.strictness import decoded
from worker.scans.vips import FULL, WIDE

COLOURED_SHARE = 0.06  # from this share of coloured pixels on, a scan counts as in colour
_ACROSS, _ALONG = 4.0, 14.0  # CIE a*, b* units from the tone: in another hue, in the tone's hue
_FAINTEST_MARK, _STRONG_MARK = 12.0, 24.0  # CIE a*, b* units from the tone: where a mark's weight is 0, and is full
_FEWEST_MARKED = 3  # pixels of the small copy; with fewer, a grey scan has no marks in colour
_NEUTRAL_CHROMA = 2.0  # below it, a tone has no hue
_LEVEL = 2.5  # a range of L* of this size shares one tone
_SIDE = 192  # pixels; in so small a copy, JPEG's blocks and a sensor's noise are averaged out

Labs = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class OwnColours:
    """The colours that a page has itself: the share of pixels with any such colour, 0..1, and with a strong one.

    `marked` are the pixels of the small copy that have a strong colour. `tones` are the usual a*, b* of each level of
    lightness, (levels, 2); None for grey files.
    """

    share: float = 0.0
    marked_share: float = 0.0
    marked: int = 0
    tones: Labs | None = None

    @property
    def has_marks(self) -> bool:
        """Whether a grey scan has a small area in a strong colour, such as a stamp or pencil marks."""
        return self.share < COLOURED_SHARE and self.marked >= _FEWEST_MARKED


def coloured_share(file: ScanFile, page: int = 0) -> float:
    """The share of the page's pixels, 0..1, that have a colour of their own; 0 for grey files.

    Raises ScanError: truncated, unreadable.
    """
    return find_own_colours(file, page).share


def find_own_colours(file: ScanFile, page: int = 0) -> OwnColours:
    """Find the page's own colours. Raises ScanError: truncated, unreadable."""

    def colours() -> OwnColours:
        image = load(file, page)
        if image.bands < 3:
            return OwnColours()
        if file.format == "jpeg" and min(image.width, image.height) >= 8 * _SIDE:
            image = load(file, shrink=8)
        return _own_colours(_small_lab(image))

    with reading(file):
        return decoded(file, colours)


def marks_of(file: ScanFile, page: int, tones: Labs, shrink: int = 1) -> NDArray[np.uint8]:
    """The page's strong colours, upright: a* + 128, b* + 128 and their weight, (height, width, 3).

    shrink: how many pixels in each direction become one. Raises ScanError: truncated, unreadable.
    """

    def marks() -> NDArray[np.uint8]:
        image = load(file, page)
        turned = image.get("orientation") if image.get_typeof("orientation") else 1
        colours = image[: image.bands - 1] if image.hasalpha() else image
        lab = lab_image(colours.shrink(shrink, shrink) if shrink > 1 else colours)
        ab = lab.extract_band(1, n=2)
        table = pyvips.Image.new_from_memory(tones.astype(np.float32), len(tones), 1, 2, "float")
        level = (lab[0] / _LEVEL).clamp(min=0, max=len(tones) - 1).cast("uchar")
        off = ab - level.maplut(table)
        distance = (off[0] ** 2 + off[1] ** 2) ** 0.5
        weight = ((distance - _FAINTEST_MARK) * (255 / (_STRONG_MARK - _FAINTEST_MARK))).cast("uchar")
        coded = (ab + 128).rint().cast("uchar").bandjoin(weight).copy(interpretation="multiband")
        if turned > 1:
            coded = coded.copy_memory()
            coded.set_type(pyvips.GValue.gint_type, "orientation", turned)
            coded = coded.autorot()
        return np.asarray(coded.numpy(), np.uint8)

    with reading(file):
        return decoded(file, marks)


def share_off_tone(lab: Labs) -> float:
    """The share of pixels, 0..1, whose colour is not the usual one of their lightness; `lab` is (pixels, 3)."""
    return _own_colours(lab).share


def _own_colours(lab: Labs) -> OwnColours:
    if not len(lab):
        return OwnColours()
    level = np.clip(lab[:, 0] / _LEVEL, 0, 100 / _LEVEL).astype(np.intp)
    tones = _tones(level, lab[:, 1:])
    off = lab[:, 1:] - tones[level]  # (pixels, 2)
    distance = np.hypot(off[:, 0], off[:, 1])
    hue = np.median(lab[:, 1:], axis=0)
    chroma = float(np.hypot(*hue))
    if chroma < _NEUTRAL_CHROMA:
        is_coloured = distance > _ACROSS
    else:
        along = np.abs(off @ (hue / chroma))
        across = np.abs(off @ (hue[::-1] * (1, -1) / chroma))
        is_coloured = (across > _ACROSS) | (along > _ALONG)
    is_marked = distance > _STRONG_MARK
    return OwnColours(float(is_coloured.mean()), float(is_marked.mean()), int(is_marked.sum()), tones)


def _tones(level: NDArray[np.intp], ab: Labs) -> Labs:
    """The median a*, b* of each level, (levels, 2). A level without pixels is interpolated between its neighbours."""
    present = np.unique(level)
    medians = np.array([np.median(ab[level == number], axis=0) for number in present])
    levels = np.arange(int(present[-1]) + 1)
    return np.column_stack([np.interp(levels, present, channel) for channel in medians.T])


def _small_lab(image: pyvips.Image) -> Labs:
    """L*, a*, b* of a reduced copy, (pixels, 3). Transparent pixels are left out, because nobody sees their colour.

    If alpha hides every pixel, as in the masks of film scanners, all pixels are used.
    """
    factor = max(1.0, max(image.width, image.height) / _SIDE)
    # The copy is in memory, because a file's pixels can be read only once, and they are needed more often.
    small = image.shrink(min(factor, image.width), min(factor, image.height)).copy_memory()
    if not image.hasalpha():
        return _lab(small)
    alpha = np.asarray(small[small.bands - 1].numpy()).reshape(-1)
    visible = alpha > FULL[small.format] / 2
    colours = _lab(small[: small.bands - 1])
    return colours[visible] if visible.any() else colours


def _lab(image: pyvips.Image) -> Labs:
    lab = lab_image(image)
    pixels: Labs = np.asarray(lab.numpy(), dtype=np.float64).reshape(-1, lab.bands)[:, :3]
    return pixels


def lab_image(image: pyvips.Image) -> pyvips.Image:
    """L*, a*, b* of an image without alpha, by its profile if the profile can be used."""
    if image.format in WIDE:
        image = in_16_bits(image)
    fallback = {"input_profile": "cmyk"} if image.interpretation == "cmyk" else {}
    if not (fallback or image.get_typeof(PROFILE_FIELD)):
        return image.colourspace("lab")
    try:
        return image.icc_import(embedded=True, pcs="lab", intent="relative", **fallback)
    except pyvips.Error:  # the profile is unusable or another device's: ignore it
        return image.colourspace("lab")
