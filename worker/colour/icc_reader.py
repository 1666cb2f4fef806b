"""Reads the lightness of ICC profiles exactly. Little CMS, which libvips calls, is wrong by 0.4 L* in dark tones.

ICC.1:2022: header 7.2, tag table 7.3, curveType 10.6, parametricCurveType 10.18, matrix and grey models F.2, F.3.
"""

import io
import struct

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import ImageCms

from worker.colour.lab import lightness_to_luminance

Curve = NDArray[np.float64]

# Numbers of a parametric curve's function types 0..4: g, a, b, c, d, e, f.
_PARAMETERS = (1, 3, 4, 5, 7)
PROFILE_FIELD = "icc-profile-data"  # libvips' name for it; a profile of 0 bytes crashes pyvips
_PILLOWS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def has_damaged_profile(image: pyvips.Image) -> bool:
    """Whether the image has a profile that can't be read."""
    return bool(image.get_typeof(PROFILE_FIELD)) and not Profile(image.get(PROFILE_FIELD)).is_readable


def profile_of(image: pyvips.Image) -> "Profile | None":
    """The image's profile; None if it has none or a damaged one."""
    if not image.get_typeof(PROFILE_FIELD):
        return None
    profile = Profile(image.get(PROFILE_FIELD))
    return profile if profile.is_readable else None


class Profile:
    """The luminance of a device's greys, or of its R, G and B, from an ICC profile."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.space = str(data[16:20], "latin-1").strip()  # GRAY, RGB, CMYK, ...
        self._lab = data[20:24] == b"Lab "
        count = min(int.from_bytes(data[128:132], "big"), 200)
        table = [struct.unpack_from(">4sII", data, 132 + 12 * n) for n in range(count) if len(data) >= 144 + 12 * n]
        self._tags = {name: data[start : start + length] for name, start, length in table}

    @property
    def is_readable(self) -> bool:
        """Whether this class or Little CMS can read the profile.

        For one that it can't read, libvips would silently use another.
        """
        if self.luminance_tables(2) is not None:
            return True
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(self._data))
            if mode := _PILLOWS.get(self.space):
                ImageCms.buildTransform(profile, ImageCms.createProfile("LAB"), mode, "LAB")
        except (ImageCms.PyCMSError, OSError):
            return False
        return True

    def luminance_tables(self, levels: int) -> NDArray[np.float64] | None:
        """The part of Y/Yn (0..1) that each level of each channel adds: (1, levels) for grey, (3, levels) for RGB.

        None if the profile is damaged, or maps whole colours by lookup tables.
        """
        try:
            device = np.linspace(0, 1, levels)
            if self.space == "GRAY":
                return self._grey(device)[None]
            if self.space == "RGB" and b"A2B0" not in self._tags and not self._lab:
                return np.stack(
                    [self._luminance(letter) * self._curve(letter, device) for letter in (b"r", b"g", b"b")]
                )
        except (KeyError, struct.error, ValueError):
            pass
        return None

    def _grey(self, device: Curve) -> Curve:
        connection = self._curve(b"k", device)
        return lightness_to_luminance(100 * connection).astype(np.float64) if self._lab else connection

    def _luminance(self, letter: bytes) -> float:
        """Y of a primary, relative to the white of the profile connection space."""
        return float(struct.unpack_from(">i", self._tags[letter + b"XYZ"], 12)[0] / 65536)

    def _curve(self, letter: bytes, device: Curve) -> Curve:
        tag = self._tags[letter + b"TRC"]
        if tag[:4] == b"para":
            return _parametric(tag, device)
        if tag[:4] != b"curv":
            raise ValueError(tag[:4])
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return device
        points = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return np.power(device, float(points[0]) / 256)
        return np.asarray(np.interp(device, np.linspace(0, 1, count), points / 65535))


def _parametric(tag: bytes, x: Curve) -> Curve:
    """A parametric curve of one of five function types: (a x + b) ** g + e from d on, and c x + f below d."""
    (function_type,) = struct.unpack_from(">H", tag, 8)
    if function_type >= len(_PARAMETERS):
        raise ValueError(function_type)
    numbers = [value / 65536 for value in struct.unpack_from(f">{_PARAMETERS[function_type]}i", tag, 12)]
    g, a, b, c, d, e, f = numbers + [1, 0, 0, 0, 0, 0][len(numbers) - 1 :]
    if function_type in (1, 2):  # here d is -b / a, and c is added everywhere
        d, e, f, c = -b / a, c if function_type == 2 else 0, c if function_type == 2 else 0, 0
    power = np.power(np.maximum(a * x + b, 0), g) + e
    curve: Curve = np.where(x >= d, power, c * x + f).clip(0, 1)
    return curve
