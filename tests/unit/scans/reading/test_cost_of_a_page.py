"""A page costs the same, whatever the number of pages in its file."""

import io
from pathlib import Path

import pytest
import tifffile

from tests.unit.scans.conftest import LIMITS, ramp
from worker.scans import OpenScan, open_scan_file, probe_pages
from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader
from worker.scans.metadata.read import read_metadata
from worker.scans.reading.colour_detection import coloured_share


def directories_read(pages: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """How many TIFF directories are read for each page, on average, in a file of `pages` pages."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for _ in range(pages):
            writer.write(ramp(16, 24), metadata=None, contiguous=False)
    path = folder / f"{pages}.tif"
    path.write_bytes(out.getvalue())
    read: list[int] = []
    original = IfdReader.entries

    def counted(self: IfdReader, at: int) -> dict[int, Entry]:
        read.append(at)
        return original(self, at)

    monkeypatch.setattr(IfdReader, "entries", counted)
    file = open_scan_file(path, "a.tif", LIMITS)
    headers = probe_pages(file, LIMITS)
    for header in headers:
        coloured_share(file, header.page)
        OpenScan(file, header)
        read_metadata(file, header.page)
    monkeypatch.undo()
    assert len(headers) == pages
    return len(read) / pages


def test_a_page_of_many_takes_no_more_reading_than_one_of_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert directories_read(60, tmp_path, monkeypatch) <= directories_read(6, tmp_path, monkeypatch) + 1
