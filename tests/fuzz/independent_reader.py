"""What a reader that is not ours sees in a file: so that pixels that were lost without a word are found."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from worker.colour.lab import luminance_to_lightness, srgb_to_linear

_SIDE = 48
_MOST_OFF = 6.0  # L*, in the mean over a small copy: profiles and decoders differ by less, lost pixels by more
_KNOWN = ("L", "RGB", "RGBA", "LA", "P", "1")
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def silent_damage(source: Path, output: Path) -> str | None:
    """How an output's lightness differs from what Pillow reads of its source; None where it can't say."""
    expected, lightness = lightness_of(source), lightness_of(output)
    if expected is None or lightness is None:
        return None
    off = float(np.abs(expected - lightness).mean())
    return f"is off by {off:.0f} L* of what Pillow reads" if off > _MOST_OFF else None


def lightness_of(path: Path) -> NDArray[np.float64] | None:
    """L* of a small copy, upright, (48, 48); None for files that Pillow can't read whole, or reads otherwise."""
    try:
        with warnings.catch_warnings(action="error", category=UserWarning), Image.open(path) as image:
            if image.mode not in _KNOWN or image.info.get("icc_profile") or getattr(image, "n_frames", 1) > 1:
                return None
            upright = ImageOps.exif_transpose(image) or image
            small = upright.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except Exception:
        return None
    rgb = np.asarray(small, np.float64) / 255
    return np.asarray(luminance_to_lightness(srgb_to_linear(rgb) @ _LUMINANCE))
