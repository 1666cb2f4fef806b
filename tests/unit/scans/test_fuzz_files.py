"""The parts of the fuzz run: it makes files that are odd in every way, and its own reader finds lost pixels."""

import struct
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fuzz.files import hostile_files
from tests.fuzz.independent_reader import expected_lightness, silent_damage
from tests.fuzz.odd_files import odd
from tests.unit.scans.conftest import pillow_bytes, ramp, tiff_bytes

GREY = ramp(64, 96)


def test_a_quarter_of_the_files_is_odd() -> None:
    ways = Counter(file.way for file in hostile_files(400, seed=1))
    assert ways["odd"] > 60
    assert len(ways) > 5


def test_oddities_change_every_format_that_has_them() -> None:
    dice = np.random.default_rng(0)
    for extension, data in (("tif", tiff_bytes(GREY)), ("jpg", pillow_bytes(GREY, "JPEG")), ("png", b"a picture")):
        assert {odd(extension, data, dice) != data for _ in range(20)} >= {True}


def test_an_output_that_lost_pixels_is_found(tmp_path: Path) -> None:
    source, output = tmp_path / "source.png", tmp_path / "output.png"
    source.write_bytes(pillow_bytes(GREY, "PNG"))
    output.write_bytes(pillow_bytes(np.dstack([GREY] * 3), "PNG"))
    assert silent_damage(source, output) is None
    half = GREY.copy()
    half[32:] = 128
    output.write_bytes(pillow_bytes(np.dstack([half] * 3), "PNG"))
    assert "L* of what other readers read" in (silent_damage(source, output) or "")


def test_channels_of_16_bits_that_lie_apart_are_judged_by_a_reader_that_can(tmp_path: Path) -> None:
    source, output = tmp_path / "source.tif", tmp_path / "output.png"
    planes = np.stack([ramp(64, 96, bits=16)] * 3)
    source.write_bytes(tiff_bytes(planes, photometric="rgb", planarconfig="separate"))
    output.write_bytes(pillow_bytes((planes[0] >> 8).astype(np.uint8), "PNG"))
    assert len(expected_lightness(source)) == 1
    assert silent_damage(source, output) is None


def test_parts_whose_size_is_unknown_are_not_judged_by_the_reader_that_takes_them_for_black(tmp_path: Path) -> None:
    source, output = tmp_path / "source.tif", tmp_path / "output.png"
    source.write_bytes(tiff_bytes(GREY).replace(struct.pack("<HH", 279, 4), struct.pack("<HH", 65000, 4)))
    output.write_bytes(pillow_bytes(GREY, "PNG"))
    assert len(expected_lightness(source)) == 1
    assert silent_damage(source, output) is None
