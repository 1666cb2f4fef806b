"""Scans that other libraries write (Pillow, tifffile), and outputs that other libraries read."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from worker.scans import Composed, OpenScan, OutputOptions, ScanLimits, compose, configure_libraries, open_scan

LIMITS = ScanLimits(max_bytes=1 << 30, max_pixels=10**9)

Opener = Callable[..., OpenScan]  # (bytes, key)
Array = NDArray[Any]


@pytest.fixture(scope="session", autouse=True)
def _libraries() -> None:
    configure_libraries()


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """A function that opens bytes as the scan of a key."""

    def open_bytes(data: bytes, key: str = "box/0001.tif") -> OpenScan:
        path = tmp_path / "source"
        path.write_bytes(data)
        return open_scan(path, key, LIMITS)

    return open_bytes


def ramp(height: int = 60, width: int = 90, bits: int = 8) -> Array:
    """Grey levels from black to white, from left to right and row by row."""
    levels = np.linspace(0, (1 << bits) - 1, height * width).round()
    return levels.astype(np.uint8 if bits == 8 else np.uint16).reshape(height, width)


def colours(size: int = 400, strength: float = 40) -> NDArray[np.float32]:
    """a*, b* that change smoothly over the model input, (size, size, 2), within about +-strength."""
    y, x = np.mgrid[:size, :size] / size
    return (strength * np.dstack([np.sin(6 * x + 3 * y), np.cos(5 * y - 4 * x)])).astype(np.float32)


def grey_of(scan: OpenScan) -> Array:
    """The whole scan as sRGB grey (height, width)."""
    return np.concatenate([strip[..., 0] for strip in scan.strips(16)])


def alpha_of(scan: OpenScan) -> Array:
    return np.concatenate([strip[..., 1] for strip in scan.strips(16)])


def write_colour(
    scan: OpenScan, folder: Path, format: str, ab: NDArray[np.float32] | None = None
) -> tuple[Array, Composed]:
    """Compose the scan and read the output back: (height, width, 3 or 4), and the result of `compose`."""
    path = folder / f"output.{format}"
    composed = compose(scan, scan.model_input(), colours() if ab is None else ab, OutputOptions(format), path)
    return (tifffile.imread(path) if format == "tiff" else read_with_pillow(path)), composed


def read_with_pillow(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image)


def pillow_bytes(pixels: Array | Image.Image, format: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff_bytes(pixels: Array, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, **options)
    return out.getvalue()
