"""Measure what a page costs to open in a TIFF of few and of many pages: `python -m tests.bench.pages`."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from worker.scans import OpenScan, ScanLimits, configure_libraries, open_scan_file, probe_pages
from worker.scans.metadata.read import read_metadata
from worker.scans.reading.colour_detection import coloured_share

_LIMITS = ScanLimits(max_bytes=1 << 40, max_pixels=1 << 40, max_pages=1 << 20)
_MOST_TIMES = 1.3  # limit for the cost of a page in a file of many pages, relative to a file of few


def write_pages(path: Path, pages: int, side: int = 200) -> None:
    """A grey TIFF of many pages, each with a directory of its own."""
    grey = np.random.default_rng(1).integers(0, 255, (side, side), np.uint8)
    with tifffile.TiffWriter(path) as writer:
        for number in range(pages):
            writer.write(np.roll(grey, number, axis=1), metadata=None, contiguous=False, rowsperstrip=16)


def open_pages(path: Path) -> float:
    """Seconds of processor time to open all pages as a worker does, and to read the pixels and metadata of each."""
    began = time.process_time()
    file = open_scan_file(path, path.name, _LIMITS)
    for header in probe_pages(file, _LIMITS):
        coloured_share(file, header.page)
        OpenScan(file, header).model_input()
        read_metadata(file, header.page)
    return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--pages", type=int, nargs=2, default=(100, 1000))
    few, many = parser.parse_args().pages
    configure_libraries()
    per_page = {}
    with tempfile.TemporaryDirectory(prefix="photochrom-pages-") as folder:
        for pages in (few, many):
            path = Path(folder, f"{pages}.tif")
            write_pages(path, pages)
            open_pages(path)  # lookup tables are made and the file is in memory from now on
            per_page[pages] = min(open_pages(path) for _ in range(3)) / pages
            print(f"{pages:6,} pages: {per_page[pages] * 1000:.2f} ms of processor time a page")
    times = per_page[many] / per_page[few]
    print(f"a page of {many:,} costs {times:.2f} times one of {few:,}; expected at most {_MOST_TIMES}")
    return 0 if times <= _MOST_TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
