"""Small files made after public bug reports, if this machine has them, are read correctly or correctly refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.scans.conftest import LIMITS, colours
from worker.errors import ScanError
from worker.scans import OpenScan, OutputOptions, ScanFile, compose, is_scan_key, open_scan_file, probe_pages
from worker.scans.reading.colour_detection import COLOURED_SHARE, coloured_share

Opener = Callable[[Path], ScanFile]
FOLDERS = (
    *("dangling-tags", "floats-a-hair-beyond", "ifd-garbage-after", "metadata-next-to-damage"),
    *("strip-byte-counts", "tags-out-of-range", "thumbnail-page"),
)
WORDS = {
    "0a-damaged-lzw.tif": ("unreadable", "Using code not yet in table"),
    "0c-short-strip.tif": ("unreadable", "Not enough data for scanline"),
}
JPEGS = {
    "after-eoi-another-jpeg.jpg": None,
    "cut-but-with-thumbnail-eoi.jpg": "unreadable",
    "damaged-3000-bytes-missing.jpg": "unreadable",
    "name.jfif": None,
    "name.jif": None,
    "name.jpe": None,
}


CASES = Path(os.environ.get("PHOTOCHROM_TEST_CASES", Path(__file__).parents[4] / "shared" / "cases"))
if not CASES.is_dir():
    pytest.skip(f"no cases in {CASES}: set PHOTOCHROM_TEST_CASES to their folder", allow_module_level=True)


@pytest.fixture
def cases() -> Path:
    return CASES


@pytest.fixture
def scan_file(tmp_path: Path) -> Opener:
    def opened(path: Path) -> ScanFile:
        copy = tmp_path / "source"
        copy.write_bytes(path.read_bytes())
        return open_scan_file(copy, path.name, LIMITS)

    return opened


def colour(file: ScanFile, folder: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape of the colour image, and what was lost."""
    (header,) = probe_pages(file, LIMITS)
    scan = OpenScan(file, header)
    composed = compose(scan, scan.model_input(), colours(), OutputOptions("tiff"), folder / "output.tif")
    return tifffile.imread(folder / "output.tif").shape, composed.lost


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_picture_that_is_whole_is_coloured(folder: str, cases: Path, scan_file: Opener, tmp_path: Path) -> None:
    for path in sorted((cases / folder).iterdir()):
        shape, lost = colour(scan_file(path), tmp_path)
        with Image.open(path) as image:
            expected = image.size if folder != "thumbnail-page" else (640, 480)
        assert shape[:2] == expected[::-1], path.name
        is_named = folder in ("dangling-tags", "metadata-next-to-damage") and path.name != "sound.tif"
        assert bool(lost) or not is_named, path.name


@pytest.mark.parametrize("name", JPEGS)
def test_jpegs_with_a_later_end_marker(name: str, cases: Path, scan_file: Opener, tmp_path: Path) -> None:
    assert is_scan_key(name)
    path = cases / "jpeg-odd" / name
    if JPEGS[name] is None:
        assert colour(scan_file(path), tmp_path)[0] == (256, 320, 3)
        return
    with pytest.raises(ScanError, match="premature end of data segment") as refused:
        colour(scan_file(path), tmp_path)
    assert refused.value.code == JPEGS[name]


def test_colour_with_alpha_is_colour(cases: Path, scan_file: Opener) -> None:
    for path in sorted((cases / "colour-with-alpha").iterdir()):
        assert coloured_share(scan_file(path)) >= COLOURED_SHARE, path.name


def test_xmp_alone_turns_a_scan(cases: Path, scan_file: Opener, tmp_path: Path) -> None:
    path = cases / "orientation-in-xmp-alone" / "xmp-orientation-6.png"
    with Image.open(path) as image:
        width, height = image.size
    assert colour(scan_file(path), tmp_path)[0] == (width, height, 3)


def test_each_file_has_words_of_its_own(cases: Path, scan_file: Opener, tmp_path: Path) -> None:
    for _ in range(2):
        for path in sorted((cases / "words-of-another-scan").iterdir()):
            if path.name not in WORDS:
                assert np.prod(colour(scan_file(path), tmp_path)[0])
                continue
            with pytest.raises(ScanError) as refused:
                colour(scan_file(path), tmp_path)
            code, words = WORDS[path.name]
            assert refused.value.code == code
            assert words in refused.value.message
