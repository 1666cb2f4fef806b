"""While a file is read, the warnings of libvips about this file are kept, and those about other files are not."""

import threading
from pathlib import Path

import pyvips

from tests.unit.scans.formats.tiff.test_tiff_warnings import PICTURES
from worker.scans.vips import kept_warnings


def odd_tiff(path: Path, kind: str) -> Path:
    path.write_bytes(PICTURES[kind])
    return path


def read(path: Path) -> None:
    pyvips.Image.tiffload(str(path)).avg()


def stream(path: Path) -> None:
    """Read a file in this thread alone, as a scan is read while its output is written."""
    image = pyvips.Image.tiffload(str(path), access="sequential")
    pyvips.Region.new(image).fetch(0, 0, image.width, image.height)


def test_a_warning_of_another_threads_file_is_not_kept(tmp_path: Path) -> None:
    own, others = odd_tiff(tmp_path / "1", "a colour map of grey"), odd_tiff(tmp_path / "2", "old LZW")
    with kept_warnings() as alone:
        read(own)
    with kept_warnings() as warnings:
        other = threading.Thread(target=stream, args=[others])
        other.start()
        other.join()
        read(own)
    assert alone
    assert warnings == alone


def test_a_warning_of_libvips_own_threads_is_kept(tmp_path: Path) -> None:
    path = odd_tiff(tmp_path / "1", "old LZW")
    with kept_warnings() as warnings:
        read(path)
    assert any("LZW" in words for words in warnings)
