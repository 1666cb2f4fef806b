"""Sample scans for the demo: photographs of scikit-image and scikit-learn, turned grey, and their colour originals.

The photographs are in the two wheels, so nothing is downloaded. A scan has the luminance of its original, and so the
same lightness L*: the sRGB values are made linear, weighted to Y (Rec. 709 / IEC 61966-2-1) and encoded again. This is
done in floating point, so that the 16-bit scans hold more than 8 bits of information.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyvips

from worker.errors import UsageError

SCANS = "scans"  # the bucket's content: folder / SCANS / key
ORIGINALS = "originals"  # the colour originals, which are not in the bucket: folder / ORIGINALS / key, as PNG

# Rec. 709 weights of linear red, green and blue in Y.
LUMINANCE = [[0.2126, 0.7152, 0.0722]]
PIXELS_PER_MILLIMETRE = 300 / 25.4  # 300 dpi, so that scans have a resolution to keep


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample scan; `original` is its colour original, or None."""

    key: str
    original: Path | None
    planted_failure: bool = False


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a sample is made; `crop` is left, top, right and bottom as shares of the photograph."""

    key: str
    photograph: str
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    enlarged: float = 1.0
    bit_depth: int = 8
    truncated: bool = False


# The wheels have only a few photographs, so some scans are crops of the same one with another subject. No photograph is
# as large as 12 megapixels, so the sheet-film portrait is an enlargement. Public domain or CC0, except china.jpg
# (danielbuechele) and flower.jpg (vultilion), both flickr.com and CC BY 2.0, and the motorcycle (Middlebury stereo data
# set, 2014).
RECIPES = (
    _Recipe("album/1905/pagoda.jpg", "china.jpg"),
    _Recipe("album/1905/lake shore.png", "china.jpg", (0.0, 0.35, 1.0, 1.0)),
    _Recipe("album/1905/summer/dahlia.tif", "flower.jpg"),
    _Recipe("album/1931/Caffè della Stazione, Città Alta.jpg", "coffee.png"),
    _Recipe("album/1931/house cat.png", "chelsea.png"),
    _Recipe("glass plates/box-07/0001.tif", "rocket.jpg", bit_depth=16),
    _Recipe("glass plates/box-07/0002.tif", "flower.jpg", (0.25, 0.1, 0.75, 1.0), bit_depth=16),
    _Recipe("glass plates/box-07/0003.tif", "coffee.png", (0.2, 0.0, 0.8, 0.9), bit_depth=16),
    _Recipe("glass plates/box-12/0001.tif", "china.jpg", (0.1, 0.0, 0.6, 0.8), truncated=True),
    _Recipe("sheet film/4x5/portrait.tif", "astronaut.png", (0.1, 0.0, 0.9, 1.0), enlarged=8.0),
    _Recipe("portraits/astronaut.jpg", "astronaut.png"),
    _Recipe("workshop/motorcycle.jpg", "motorcycle_left.png"),
    _Recipe("workshop/engine.png", "motorcycle_right.png", (0.25, 0.35, 0.75, 1.0)),
    _Recipe("workshop/shelves.tif", "motorcycle_right.png", (0.35, 0.0, 1.0, 0.45)),
    _Recipe("streets/cameraman.jpg", "camera.png"),
)


def write_samples(folder: Path) -> list[Sample]:
    """Write folder/scans/<key>, the bucket's content, and folder/originals/<key>.png, with the same bytes every time.

    The 15 scans are JPEG, PNG, 8-bit and 16-bit TIFF. One has 13 megapixels, and one is truncated, so that it fails.
    Raises UsageError if scikit-image or scikit-learn is not installed.
    """
    return [_write(recipe, folder) for recipe in RECIPES]


def psnr(image: npt.NDArray[np.uint8], original: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite for equal images.

    Both are (height, width, 3), 0..255. Raises ValueError if their sizes differ.
    """
    if image.shape != original.shape or image.shape[2:] != (3,):
        raise ValueError(f"expected two RGB images of one size, got {image.shape} and {original.shape}")
    mean_square = float(cv2.norm(image, original, cv2.NORM_L2SQR)) / image.size
    return 10 * math.log10(255**2 / mean_square) if mean_square else math.inf


def rgb_pixels(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as 8-bit sRGB, (height, width, 3), 0..255; a grey scan becomes the grey baseline."""
    image = pyvips.Image.new_from_file(str(path))
    return np.asarray(_rgb(image).numpy(), dtype=np.uint8)


def _write(recipe: _Recipe, folder: Path) -> Sample:
    scan = folder / SCANS / recipe.key
    original = (folder / ORIGINALS / recipe.key).with_suffix(".png")
    picture = _crop(pyvips.Image.new_from_file(str(photograph(recipe.photograph))), recipe)
    _save(_grey(picture, recipe.bit_depth), scan)
    if recipe.truncated:
        content = scan.read_bytes()
        scan.write_bytes(content[: len(content) // 3])
        return Sample(recipe.key, None, planted_failure=True)
    if picture.bands < 3:
        return Sample(recipe.key, None)
    _save(picture, original)
    return Sample(recipe.key, original)


def _crop(image: pyvips.Image, recipe: _Recipe) -> pyvips.Image:
    left, top, right, bottom = recipe.crop
    x, y = round(left * image.width), round(top * image.height)
    cropped = image.crop(x, y, round(right * image.width) - x, round(bottom * image.height) - y)
    return cropped if recipe.enlarged == 1 else cropped.resize(recipe.enlarged, kernel="lanczos3")


def _grey(image: pyvips.Image, bit_depth: int) -> pyvips.Image:
    """One band with the photograph's luminance, sRGB-encoded, 0..2^bit_depth - 1."""
    linear = _rgb(image).colourspace("scrgb").recomb(LUMINANCE)  # (height, width, 1), 0..1
    encoded = (linear <= 0.0031308).ifthenelse(12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels = (encoded * (2**bit_depth - 1)).rint()
    if bit_depth == 16:
        return levels.cast("ushort").copy(interpretation="grey16")
    return levels.cast("uchar").copy(interpretation="b-w")


def _rgb(image: pyvips.Image) -> pyvips.Image:
    coloured = image.colourspace("srgb")
    return coloured.extract_band(0, n=3) if coloured.bands > 3 else coloured


def _save(image: pyvips.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image.copy(xres=PIXELS_PER_MILLIMETRE, yres=PIXELS_PER_MILLIMETRE)
    options: dict[str, dict[str, Any]] = {
        ".jpg": {"Q": 92},
        # The default level takes seconds for the enlargement, and makes the file hardly smaller.
        ".png": {"compression": 1},
        ".tif": {"compression": "lzw", "predictor": "horizontal", "resunit": "inch"},
    }
    image.write_to_file(str(path), **options[path.suffix])


def photograph(name: str) -> Path:
    """The path of a photograph of scikit-image or scikit-learn. Raises UsageError."""
    # Found without importing the package, because the import takes a second.
    for package, inside in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"the sample scans need the Python package {package}; install photochrom[standalone]")
        path = Path(spec.submodule_search_locations[0]) / inside / name
        if path.exists():
            return path
    raise UsageError(f"no photograph {name} in scikit-image or scikit-learn; install the versions of requirements.lock")
