"""Of 200 bad and odd files in one process, each gets its own code and message, in any order and in threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.files import hostile_files
from tests.unit.scans.conftest import LIMITS, pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.formats.jpeg.test_odd_jpegs import DAMAGES, KINDS, ODDITIES
from tests.unit.scans.formats.tiff.tiff_edits import with_entry, with_next
from worker.errors import ScanError
from worker.scans import OpenScan, open_scan_file, probe_pages
from worker.scans.reading.colour_detection import coloured_share


def odd_files() -> list[bytes]:
    grey = (ramp(64, 96) // 2 + np.random.default_rng(0).integers(0, 99, (64, 96))).astype(np.uint8)
    lzw = bytearray(tiff_bytes(grey, compression="lzw"))
    lzw[len(lzw) // 2 :] = b"\x80" * (len(lzw) - len(lzw) // 2)
    files = [damage(data, len(data) // 2) for damage in DAMAGES.values() for data in KINDS.values()]
    files += [oddity(data) for oddity in ODDITIES.values() for data in KINDS.values()]
    files += [bytes(lzw), with_next(tiff_bytes(grey), 9_000_001), with_entry(tiff_bytes(grey), 274, 3, 9)]
    files += [pillow_bytes(grey, "PNG")[:-30] + bytes(30), tiff_bytes(grey, photometric="minisblack", bitspersample=8)]
    return files + [file.data for file in hostile_files(200 - len(files), seed=3)]


def code(line: str) -> str:
    return line.partition(":")[0]


def outcome(number: int, data: bytes, folder: Path) -> str:
    """The result of reading this file alone: its size and lightness, or its error code and message."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}"
    path.write_bytes(data)
    try:
        file = open_scan_file(path, f"scan {number}", LIMITS)
        header = probe_pages(file, LIMITS)[0]
        if header.width * header.height > 1 << 22:
            return f"{header.width} x {header.height}"
        coloured_share(file, header.page)
        lightness = OpenScan(file, header).model_input().lightness
        return f"{header.width} x {header.height}, {lightness.mean():.3f}"
    except ScanError as error:
        return f"{error.code}: {error.message}"
    finally:
        for left in folder.glob(f"{number}*"):
            left.unlink()


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return odd_files()


@pytest.fixture(scope="module")
def expected(files: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("in-order")
    return [outcome(number, data, folder) for number, data in enumerate(files)]


def test_each_sentence_names_its_own_scan(expected: list[str]) -> None:
    assert all(f"scan {number} " in line for number, line in enumerate(expected) if not line[0].isdigit())


def test_there_are_enough_of_each_kind(files: list[bytes], expected: list[str]) -> None:
    assert len(files) == 200
    codes = {line.partition(":")[0] for line in expected}
    assert {"unreadable", "truncated", "unsupported"} <= codes
    assert sum(line[0].isdigit() for line in expected) > 40


@pytest.mark.parametrize("seed", [1, 2])
def test_each_file_ends_alike_in_any_order(seed: int, files: list[bytes], expected: list[str], tmp_path: Path) -> None:
    for number in np.random.default_rng(seed).permutation(len(files)).tolist():
        assert outcome(number, files[number], tmp_path) == expected[number]


def test_each_file_ends_alike_beside_others(files: list[bytes], expected: list[str], tmp_path: Path) -> None:
    order = np.random.default_rng(5).permutation(len(files)).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: outcome(number, files[number], tmp_path / f"{number}"), order))
    differing = [
        (line, expected[number])
        for number, line in zip(order, found, strict=True)
        if code(line) != code(expected[number])
    ]
    assert differing == []
