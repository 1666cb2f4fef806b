"""Converts any kind of pixels to sRGB grey of the same lightness: pixels with profiles, tones or alpha, and floats."""

import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.colour.icc_reader import PROFILE_FIELD, Profile, profile_of
from worker.colour.lab import LUMINANCE, Floats, linear_to_srgb, srgb_to_linear
from worker.errors import ScanError
from worker.scans.vips import FULL, SAMPLE_BYTES, WIDE

_GREYS, _RGBS = ("b-w", "grey16"), ("srgb", "rgb16", "rgb", "scrgb")
_OVERSHOOT = 0.1  # beyond 0..1; samples up to here are clipped
_FEWEST_LEVELS = 1 << 26  # of 32-bit integers, whose white is 64 times as much
_ROUNDING = 0.5 / 65535  # beyond 0..1; no output shows a difference this small
_LINEAR_LEVELS = 1 << 16  # of linear light; one is a twentieth of sRGB's smallest 8-bit step, which is at black


def output_bit_depth(image: pyvips.Image, key: str) -> int:
    """8 or 16: the depth that the scan's output gets. Raises ScanError for samples that have no known meaning."""
    if image.format not in SAMPLE_BYTES:
        expected = "expected unsigned integers of at most 32 bits, or floats from 0 to 1"
        raise _unsupported(f"{key} has samples of type {image.format}; {expected}")
    return 8 if image.format == "uchar" else 16


def to_grey(image: pyvips.Image, key: str) -> pyvips.Image:
    """sRGB grey with the lightness of `image`, 8 or 16 bits, lazily: one band, or two where the scan has alpha.

    Samples of WIDE kinds must have been checked. Raises ScanError for kinds of colour that have no known meaning.
    """
    depth = output_bit_depth(image, key)
    if image.format in WIDE:
        image = in_16_bits(image)
    if not image.hasalpha():
        return _grey_of(image, depth, key)
    grey = _grey_of(image[: image.bands - 1], depth, key)
    return grey.bandjoin(image[image.bands - 1].cast(grey.format))


def check_range(image: pyvips.Image, key: str) -> bool:
    """Whether some floats are slightly outside 0..1 and must be clipped. It reads all pixels once.

    Filters that sharpen or reduce a picture overshoot at edges. Raises ScanError unsupported for floats further
    outside, and for integers that use so little of their 32 bits that the picture would be black.
    """
    colours = image[: image.bands - 1] if image.format == "uint" and image.hasalpha() else image
    low, high, total = colours.stats().numpy()[0, :3]  # the first row is for all bands
    if image.format == "uint":
        if 0 < high < _FEWEST_LEVELS:
            raise _unsupported(f"{key} holds integers of 32 bits up to {high:,.0f}; expected white at 4,294,967,295")
        return False
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT) or np.isnan(total):
        raise _unsupported(f"{key} holds floats from {low:g} to {high:g}; expected 0 to 1")
    return bool(low < -_ROUNDING or high > 1 + _ROUNDING)


def in_16_bits(image: pyvips.Image) -> pyvips.Image:
    """Integers of 32 bits, or floats 0..1, which ImageMagick, GIMP and scikit-image write with sRGB's curve."""
    colour_bands = image.bands - image.hasalpha()
    integers = (image * (65535 / FULL[image.format])).rint().cast("ushort")  # the cast clips
    return integers.copy(interpretation="rgb16" if colour_bands == 3 else "grey16")


def _grey_of(image: pyvips.Image, depth: int, key: str) -> pyvips.Image:
    interpretation, bands = image.interpretation, image.bands
    profile = profile_of(image)
    space = profile.space if profile else None
    if interpretation in _GREYS and bands == 1 and space in (None, "GRAY", "RGB"):
        return _through_table(image, profile, depth) if profile else image
    if interpretation in _RGBS and bands == 3 and space in (None, "RGB"):
        return _coded(_luminance_of(image, profile, depth), depth)
    is_cmyk = interpretation == "cmyk" and bands == 4 and space in (None, "CMYK")
    if is_cmyk or (interpretation in ("lab", "labs") and bands == 3):
        return _coded(_luminance_by_lcms(image), depth)
    problem = f"{bands} channels of kind {interpretation}" + (f" and a profile for {space}" if space else "")
    raise _unsupported(f"{key} has {problem}; expected grey, RGB or CMYK")


def _unsupported(message: str) -> ScanError:
    return ScanError("unsupported", message, permanent=True)


def _through_table(image: pyvips.Image, profile: Profile, depth: int) -> pyvips.Image:
    """A grey scan, converted by its profile. Only the 256 or 65 536 levels are converted, not every pixel.

    Some scanners give grey files the profile of their RGB mode. Then a grey level means R = G = B.
    """
    tables = profile.luminance_tables(1 << depth)
    if tables is not None:
        coded = linear_to_srgb(tables.sum(axis=0).clip(0, 1))
        return image.maplut(_table(_sampled(coded, depth)))
    levels = pyvips.Image.identity(ushort=depth == 16)
    if profile.space == "RGB":
        levels = levels.bandjoin([levels, levels])
    kinds = _GREYS if profile.space == "GRAY" else _RGBS
    levels = levels.copy(interpretation=kinds[depth == 16])
    levels.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, image.get(PROFILE_FIELD))
    return image.maplut(_coded(_luminance_by_lcms(levels), depth))


def _luminance_of(image: pyvips.Image, profile: Profile | None, depth: int) -> pyvips.Image:
    """Y/Yn of RGB: the sum of the channels, each converted by its curve."""
    levels = 1 << depth
    tables = LUMINANCE[:, None] * srgb_to_linear(np.linspace(0, 1, levels))[None]
    if profile:
        profile_tables = profile.luminance_tables(levels)
        if profile_tables is None:
            return _luminance_by_lcms(image)
        tables = profile_tables
    return image.maplut(_table(tables.T.astype(np.float32, order="C"))).recomb([[1.0, 1.0, 1.0]])


def _luminance_by_lcms(image: pyvips.Image) -> pyvips.Image:
    """Y/Yn by the scan's own profile; for a CMYK scan without one, by libvips' own profile for print."""
    if image.interpretation in ("lab", "labs"):
        lab = image.colourspace("lab")
    else:
        fallback = {"input_profile": "cmyk"} if image.interpretation == "cmyk" else {}
        lab = image.icc_import(embedded=True, pcs="lab", intent="relative", **fallback)
    f = (lab[0] + 16) / 116  # CIE 15
    return (f > 6 / 29).ifthenelse(f * f * f, (f - 4 / 29) * (3 * (6 / 29) ** 2))


def _coded(luminance: pyvips.Image, depth: int) -> pyvips.Image:
    """Y/Yn 0..1 as sRGB grey of 8 or 16 bits."""
    if depth == 8:
        linear = (luminance * (_LINEAR_LEVELS - 1)).rint().cast("ushort")
        return linear.maplut(_table(_sampled(linear_to_srgb(np.linspace(0, 1, _LINEAR_LEVELS)), 8)))
    # The power of sRGB's curve, IEC 61966-2-1; a table of linear light would be too coarse for dark tones.
    bright = (luminance > 0.0031308).ifthenelse(luminance, 0.0031308) ** (1 / 2.4) * 1.055 - 0.055
    coded = (luminance > 0.0031308).ifthenelse(bright, luminance * 12.92)
    return (coded * 65535).rint().cast("ushort")


def _sampled(coded: Floats, depth: int) -> Pixels:
    levels = np.rint(coded * ((1 << depth) - 1))
    return levels.astype(np.uint8) if depth == 8 else levels.astype(np.uint16)


def _table(values: Pixels | NDArray[np.float32]) -> pyvips.Image:
    """A libvips lookup table of values (levels,) or (levels, bands)."""
    bands = values.shape[1] if values.ndim == 2 else 1
    interpretation = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[values.dtype.name]
    return pyvips.Image.new_from_memory(values, len(values), 1, bands, interpretation)
