"""Decides whether a scan is in colour, or grey with a tone: sepia, cyanotype, selenium, yellowed paper, a scanner's
cast.

A toned picture has one colour for each lightness; only fading, stains and noise differ from it. So each pixel is
compared with the usual colour of its lightness. A small distance in another hue counts already; in the tone's own hue a
larger one is allowed, because prints fade unevenly. A coloured stamp or a colour target is a small share of the pixels;
the coloured objects of a photograph are a large share.

Two copies of a page are looked at. In the small one, blocks and noise are averaged out, so it gives the tone and the
share. In the fine one, at most eight pixels in each direction are averaged, so a thin line is still to be seen there. A
mark in a strong colour is kept. A faint one, or one that the average makes faint, is not, and the output's row says so.
The fringes that a scanner makes at edges are no marks (worker/colour/fringes.py). Where a page has so many that it
seems to be in colour, its red, green and blue are moved onto each other, and grey comes out grey
(worker/colour/registration.py).

The constants come from 206 colour photographs and six kinds of toned prints of each, in JPEG at quality 80 with uneven
fading, noise, split tones or a red stamp. With them, 94 % of the photographs and 1 % of the toned prints are taken for
colour.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.colour.fringes import find_fringes
from worker.colour.icc_reader import PROFILE_FIELD
from worker.colour.registration import registered
from worker.scans.packed_mask import PackedMask
from worker.scans.reading.grey import in_16_bits
from worker.scans.reading.loading import load, reading
from worker.scans.reading.scan_file import ScanFile
from worker.scans.reading.strictness import decoded
from worker.scans.vips import FULL, WIDE

COLOURED_SHARE = 0.06  # from this share of coloured pixels on, a scan counts as in colour
_ACROSS, _ALONG = 4.0, 14.0  # CIE a*, b* units from the tone: in another hue, in the tone's hue
_FAINTEST_MARK, _STRONG_MARK = 12.0, 24.0  # CIE a*, b* units from the tone: where a mark's weight is 0, and is full
_FEWEST_MARKED = 3  # pixels of the small copy; with fewer, a grey scan has no marks in colour
_FEWEST_FINE = 12  # pixels that touch two more of their kind, for faint and fine marks; noise makes single ones
_FAINT = 2 / 3  # of the distance at which a mark of the fine copy is kept: from here on, a faint one is seen
_NOISES = 6.0  # a mark is at least this many times as far from the tone as noise usually is
_NEUTRAL_CHROMA = 2.0  # below it, a tone has no hue
_LEVEL = 2.5  # a range of L* of this size shares one tone
_SIDE = 192  # pixels; in so small a copy, JPEG's blocks and a sensor's noise are averaged out
_REGISTERED_BYTES = 48 << 20  # a page's colours in 8 bits, which are held while they are moved onto each other
_MOST_FRINGED = 24.0  # pixels that become one in the small copy; with more, fringes of two pixels are averaged out
_FINE_SHRINK = 8  # pixels that become one in the fine copy, in each direction; fewer in scans of less than 8 * _SIDE
_FINE_PIXELS = 4_000_000  # most pixels of the fine copy: 32 MB at 16 bits
_FINE_ROWS = 256  # of the fine copy, converted in one step
_LINE = 4  # pixels; a line of this width is not fainter in the fine copy than the distance that is expected of it

Labs = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class OwnColours:
    """The colours that a page has itself: the share of pixels with any such colour, 0..1, and small marks.

    `marked` are the pixels of the small copy that have a strong colour, `fine_marked` those of the fine copy.
    `faint_share` is the share of the page, 0..1, with a colour that is seen but is not kept. `tones` are the usual
    a*, b* of each level of lightness, (levels, 2), and `place` the pixels of the fine copy at and around its marks, in
    which colour is kept; None for grey files and for those in colour.
    """

    share: float = 0.0
    marked: int = 0
    fine_marked: int = 0
    faint_share: float = 0.0
    tones: Labs | None = None
    place: PackedMask | None = None

    @property
    def has_marks(self) -> bool:
        """Whether a grey scan has a small area in a strong colour, such as a stamp or pencil marks."""
        is_marked = self.marked >= _FEWEST_MARKED or self.fine_marked >= _FEWEST_FINE
        return self.share < COLOURED_SHARE and is_marked

    @property
    def loss(self) -> str | None:
        """What a grey scan's output loses of its own colours, in words; None if nothing is seen."""
        if self.share >= COLOURED_SHARE or not self.faint_share:
            return None
        return f"faint colour (on {max(self.faint_share, 0.0001):.2%} of the scan)"


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
        shrink, factor = _fine_shrink(image.width, image.height), _small_shrink(image.width, image.height)
        if file.format == "jpeg" and min(image.width, image.height) >= _FINE_SHRINK * _SIDE:
            image = load(file, shrink=_FINE_SHRINK)
            return _colours_of_page(_shrunk(image, shrink / _FINE_SHRINK), shrink, factor / shrink)
        return _colours_of_page(_shrunk(image, shrink), shrink, factor / shrink)

    with reading(file):
        own_colours = decoded(file, colours)
        if own_colours.share < COLOURED_SHARE:
            return own_colours
        return decoded(file, lambda: _colours_that_meet(load(file, page))) or own_colours


def _colours_that_meet(image: pyvips.Image) -> OwnColours | None:
    """The colours of a page after its red, green and blue are moved onto each other, if it is grey then.

    The many fringes of a page of dense text are not averaged out in the small copy. None for a page that stays in
    colour, and for one so large that they are averaged out.
    """
    shrink, factor = _fine_shrink(image.width, image.height), _small_shrink(image.width, image.height)
    is_small = factor <= _MOST_FRINGED and 3 * image.width * image.height <= _REGISTERED_BYTES
    if not is_small or image.interpretation not in ("srgb", "rgb16"):
        return None
    levels = (image >> 8).cast("uchar").copy(interpretation="srgb") if image.interpretation == "rgb16" else image
    meeting = registered(levels.extract_band(0, n=3).copy_memory())
    if meeting is None:
        return None
    own_colours = _colours_of_page(_shrunk(meeting, shrink), shrink, factor / shrink)
    return own_colours if own_colours.share < COLOURED_SHARE else None


def marks_of(file: ScanFile, page: int, own_colours: OwnColours, shrink: int = 1) -> NDArray[np.uint8]:
    """The page's strong colours, upright: a* + 128, b* + 128 and their weight, (height, width, 3).

    The weight is 0 beside the place of its marks, so that fringes and noise elsewhere on the page are not kept.
    shrink: how many pixels in each direction become one. Raises ScanError: truncated, unreadable.
    """
    tones, place = own_colours.tones, own_colours.place
    assert tones is not None
    assert place is not None

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
        weight = (weight * _enlarged(place, lab.width, lab.height)).cast("uchar")
        coded = (ab + 128).rint().cast("uchar").bandjoin(weight).copy(interpretation="multiband")
        if turned > 1:
            coded = coded.copy_memory()
            coded.set_type(pyvips.GValue.gint_type, "orientation", turned)
            coded = coded.autorot()
        return np.asarray(coded.numpy(), np.uint8)

    with reading(file):
        return decoded(file, marks)


def _enlarged(place: PackedMask, width: int, height: int) -> pyvips.Image:
    """The mask as an image of this size, 0 or 1."""
    mask = pyvips.Image.new_from_array(place.pixels().astype(np.uint8))
    return mask.resize(width / place.width, vscale=height / place.height, kernel="nearest")


def share_off_tone(lab: Labs) -> float:
    """The share of pixels, 0..1, whose colour is not the usual one of their lightness; `lab` is (pixels, 3)."""
    return _own_colours(lab).share


def _own_colours(lab: Labs) -> OwnColours:
    if not len(lab):
        return OwnColours()
    tones, usual = _tones(_levels(lab, 100 / _LEVEL), lab[:, 1:]), np.median(lab[:, 1:], axis=0)
    off = lab[:, 1:] - tones[_levels(lab, len(tones) - 1)]  # (pixels, 2)
    if np.hypot(*usual) < _NEUTRAL_CHROMA:
        is_coloured = _length(off) > _ACROSS
    else:
        along, across = _along_and_across(off, usual)
        is_coloured = (np.abs(across) > _ACROSS) | (np.abs(along) > _ALONG)
    return OwnColours(float(is_coloured.mean()), tones=tones)


def _levels(lab: Labs, highest: float) -> NDArray[np.intp]:
    return np.asarray(np.clip(lab[..., 0] / _LEVEL, 0, highest), np.intp)


def _length(ab: Labs) -> Labs:
    return np.hypot(ab[..., 0], ab[..., 1])


def _along_and_across(ab: Labs, usual: Labs) -> tuple[Labs, Labs]:
    """How far a*, b*, (..., 2), reach in the direction of the tone's usual hue, and beside it."""
    direction = (usual / np.hypot(*usual)).astype(np.float32)
    return ab @ direction, ab @ (direction[::-1] * np.array((1, -1), np.float32))


def _colours_of_page(fine: pyvips.Image, shrink: float, factor: float) -> OwnColours:
    """The colours of a page by its fine copy, in which `shrink` pixels became one; `factor` more make the small one."""
    small = _shrunk(fine, factor)
    lab, visible = _lab(small), _visible(small)
    colours = _own_colours(lab[visible])
    if colours.tones is None or colours.share >= COLOURED_SHARE:
        return colours
    usual = np.median(lab[visible][:, 1:], axis=0)
    tones = _without_marks(colours.tones, lab[visible], usual)
    is_marked = visible & (_length(lab[..., 1:] - tones[_levels(lab, len(tones) - 1)]) > _STRONG_MARK)
    distance = _fine_distance(fine, tones, usual)
    fine_marked, faint = _fine_marks(distance, _visible(fine), shrink)
    place = PackedMask.of(_place(distance, is_marked))
    return replace(
        colours, marked=int(is_marked.sum()), fine_marked=fine_marked, faint_share=faint, tones=tones, place=place
    )


def _fine_distance(fine: pyvips.Image, tones: Labs, usual: Labs) -> Labs:
    """How far each pixel of the fine copy, (height, width), is from what the tone can be; 0 for fringes and noise."""
    visible, distance = _visible(fine), np.zeros((fine.height, fine.width), np.float32)
    lightness, off = np.zeros(distance.shape, np.uint8), np.zeros((*distance.shape, 2), np.int8)
    for top in range(0, fine.height, _FINE_ROWS):
        strip = fine.crop(0, top, fine.width, min(_FINE_ROWS, fine.height - top))
        rows, lab = np.s_[top : top + strip.height], _lab(strip)
        distance[rows] = _distance(lab, visible[rows], tones, usual)
        lightness[rows] = lab[..., 0].clip(0, 100)
        off[rows] = (lab[..., 1:] - tones.astype(np.float32)[_levels(lab, len(tones) - 1)]).clip(-127, 127)
    threshold = max(_FAINTEST_MARK * _FAINT, _NOISES * float(np.median(distance[visible])))
    is_far = distance > threshold
    return np.asarray(np.where(is_far & ~find_fringes(lightness, off, is_far), distance, 0))


def _fine_marks(distance: Labs, visible: NDArray[np.bool_], shrink: float) -> tuple[int, float]:
    """How many pixels of the fine copy have a mark that is kept, and the share of those with a faint mark."""
    strong = max(_FAINTEST_MARK, _STRONG_MARK * min(1.0, _LINE / shrink))
    is_marked = _touching(distance > strong)
    is_faint = _touching(distance > strong * _FAINT) & ~_widened(is_marked)
    is_faint |= _wide_and_faint(distance)
    return int(is_marked.sum()), float(is_faint.sum() / visible.sum()) if is_faint.sum() >= _FEWEST_FINE else 0.0


def _place(distance: Labs, is_marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of the fine copy in which colour is kept: at its marks, at those of the small copy, and around."""
    size = distance.shape[1], distance.shape[0]
    place = cv2.resize(is_marked.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return _widened(place | _touching(distance > _FAINTEST_MARK))


def _wide_and_faint(distance: Labs) -> NDArray[np.bool_]:
    """The inner pixels of areas that are not thin lines, so that the average does not make them fainter."""
    is_far = (distance > 0).astype(np.uint8)
    inner = cv2.erode(is_far, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray((inner > 0) & ~_widened(distance > _STRONG_MARK))


def _distance(lab: Labs, visible: NDArray[np.bool_], tones: Labs, usual: Labs) -> Labs:
    """How far each pixel, (height, width, 3), is from what the tone can be; 0 for those that are not visible.

    Where a dark and a light place are averaged, or a print has faded, its colour is between grey and the tone.
    """
    ab, tone = lab[..., 1:], tones.astype(np.float32)[_levels(lab, len(tones) - 1)]
    if np.hypot(*usual) < _NEUTRAL_CHROMA:
        distance = _length(ab - tone)
    else:
        along, across = _along_and_across(ab, usual)
        tone_along, tone_across = _along_and_across(tone, usual)
        beyond = np.maximum(
            np.maximum(along - np.maximum(tone_along, 0) - _ALONG, np.minimum(tone_along, 0) - along), 0
        )
        distance = np.hypot(beyond, across - tone_across)
    return np.asarray(np.where(visible, distance, 0), np.float32)


def _touching(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of the mask that touch two more of it."""
    counts = cv2.boxFilter(mask.astype(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(mask & (counts >= 3))


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with the pixels around it: the edges of a mark are fainter than the mark."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _tones(level: NDArray[np.intp], ab: Labs) -> Labs:
    """The median a*, b* of each level, (levels, 2). A level without pixels is interpolated between its neighbours."""
    present = np.unique(level)
    medians = np.array([np.median(ab[level == number], axis=0) for number in present])
    return _interpolated(present, medians)


def _interpolated(present: NDArray[np.intp], medians: Labs) -> Labs:
    levels = np.arange(int(present[-1]) + 1)
    return np.column_stack([np.interp(levels, present, channel) for channel in medians.T])


def _without_marks(tones: Labs, lab: Labs, usual: Labs) -> Labs:
    """The tones without levels of lightness that mostly a mark has, which then would be no mark.

    Their colour is far from the usual one, in another hue or beyond grey. All such levels together are few pixels;
    otherwise it is the picture's tone that changes.
    """
    counts = np.bincount(_levels(lab, len(tones) - 1), minlength=len(tones))
    off, chroma = tones - usual, float(np.hypot(*usual))
    if chroma < _NEUTRAL_CHROMA:
        is_far = _length(off) > _FAINTEST_MARK
    else:
        along, across = _along_and_across(off, usual)
        is_far = (np.abs(across) > _FAINTEST_MARK) | (np.abs(along) > chroma + _FAINTEST_MARK)
    kept = np.flatnonzero(~is_far & (counts > 0))
    if not len(kept) or counts[is_far].sum() >= COLOURED_SHARE * counts.sum():
        return tones
    whole = _interpolated(kept, tones[kept])
    return np.vstack([whole, np.repeat(whole[-1:], len(tones) - len(whole), axis=0)])


def _small_shrink(width: int, height: int) -> float:
    return max(1.0, max(width, height) / _SIDE)


def _fine_shrink(width: int, height: int) -> float:
    """How many pixels in each direction become one in the fine copy."""
    fine = min(float(_FINE_SHRINK), _small_shrink(width, height))
    return max(fine, math.sqrt(width * height / _FINE_PIXELS))


def _shrunk(image: pyvips.Image, factor: float) -> pyvips.Image:
    """A reduced copy in memory, because a file's pixels can be read only once, and they are needed more often."""
    factor = max(1.0, factor)
    return image.shrink(min(factor, image.width), min(factor, image.height)).copy_memory()


def _visible(image: pyvips.Image) -> NDArray[np.bool_]:
    """Which pixels are seen, (height, width). Transparent ones are not, and nobody sees their colour.

    If alpha hides every pixel, as in the masks of film scanners, all pixels are used.
    """
    if not image.hasalpha():
        return np.ones((image.height, image.width), np.bool_)
    alpha = np.asarray(image[image.bands - 1].numpy()).reshape(image.height, image.width)
    visible = alpha > FULL[image.format] / 2
    return visible if visible.any() else np.ones_like(visible)


def _lab(image: pyvips.Image) -> Labs:
    """L*, a*, b* of the image's colours, (height, width, 3)."""
    lab = lab_image(image[: image.bands - 1] if image.hasalpha() else image)
    pixels: Labs = np.asarray(lab.numpy(), dtype=np.float32).reshape(lab.height, lab.width, lab.bands)[..., :3]
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
