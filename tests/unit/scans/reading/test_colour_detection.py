"""Colour photographs are distinguished from toned prints."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.unit.scans.conftest import LIMITS, pillow_bytes, tiff_bytes
from worker.scans import open_scan_file
from worker.scans.reading.colour_detection import COLOURED_SHARE, coloured_share

Array = NDArray[Any]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photograph(name: str) -> Array:
    return np.asarray(getattr(data, name)())


def grey(name: str = "astronaut") -> Array:
    """A photograph in grey: (height, width), 0..1"""
    return np.asarray(Image.fromarray(photograph(name)).convert("L")) / 255


def sepia(g: Array) -> Array:
    return np.dstack([g * 1.07 + 0.03, g * 0.95 + 0.01, g * 0.78])


def cyanotype(g: Array) -> Array:
    return np.dstack([g**1.2, g**1.05, g**0.8])


def faded(g: Array) -> Array:
    """Sepia at the edges, nearly neutral in the middle."""
    y, x = (np.indices(g.shape).T / g.shape - 0.5).T
    share = (0.5 + np.hypot(y, x) * 0.7)[..., None]
    toned: Array = np.dstack([g] * 3) * (1 - share) + np.dstack([g * 1.05 + 0.08, g * 0.9 + 0.06, g * 0.62]) * share
    return toned


def noisy(g: Array) -> Array:
    return np.dstack([g] * 3) + np.random.default_rng(0).normal(0, 0.03, (*g.shape, 3))


def stamped(g: Array) -> Array:
    """Yellowed, with a red stamp in a corner."""
    toned = np.dstack([g, g * 0.96, g * 0.88])
    toned[: len(g) // 5, : len(g) // 5] = (0.8, 0.1, 0.1)
    return toned


def levels(colours: Array) -> Array:
    rounded: Array = np.rint(colours.clip(0, 1) * 255).astype(np.uint8)
    return rounded


def share(data: bytes, folder: Path) -> float:
    path = folder / "scan"
    path.write_bytes(data)
    return coloured_share(open_scan_file(path, "a", LIMITS))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_a_colour_photograph_is_in_colour(name: str, format: str, tmp_path: Path) -> None:
    assert share(pillow_bytes(photograph(name), format), tmp_path) >= COLOURED_SHARE


@pytest.mark.parametrize("toned", [sepia, cyanotype, faded, noisy, stamped])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_toned_print_is_not(toned: Callable[[Array], Array], name: str, tmp_path: Path) -> None:
    assert share(pillow_bytes(levels(toned(grey(name))), "JPEG", quality=80), tmp_path) < COLOURED_SHARE


def test_a_48_bit_image_is_handled_too(tmp_path: Path) -> None:
    colour = photograph("astronaut").astype(np.uint16) * 257
    assert share(tiff_bytes(colour, photometric="rgb"), tmp_path) >= COLOURED_SHARE
    toned = (sepia(grey()).clip(0, 1) * 65535).astype(np.uint16)
    assert share(tiff_bytes(toned, photometric="rgb"), tmp_path) < COLOURED_SHARE


def test_a_grey_file_has_no_colour_at_all(tmp_path: Path) -> None:
    assert share(pillow_bytes(levels(grey()), "PNG"), tmp_path) == 0


def test_colours_that_nobody_sees_do_not_count(tmp_path: Path) -> None:
    hidden = np.dstack([photograph("astronaut"), np.zeros((512, 512), np.uint8)])
    hidden[:, :200, :3], hidden[:, :200, 3] = levels(grey())[:, :200, None], 255
    assert share(pillow_bytes(Image.fromarray(hidden), "PNG"), tmp_path) < COLOURED_SHARE


def test_a_profile_that_is_another_devices_does_no_harm(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(photograph("astronaut")).save(out, "PNG", icc_profile=b"no profile")
    assert share(out.getvalue(), tmp_path) >= COLOURED_SHARE
