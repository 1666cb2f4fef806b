"""Writes several pages into one TIFF. Each page is written alone and then joined to those before it."""

from collections.abc import Sequence
from pathlib import Path

from worker.scans.formats.tiff.ifd_writer import add_page, begin_tiff
from worker.scans.formats.tiff.tags import Tag, Tags, long, shorts
from worker.scans.reading.probe import ScanHeader
from worker.scans.vips import writing

_ONE_OF_SEVERAL = 2  # a bit of NewSubfileType
_CLASSIC_BYTES = 3 << 30  # safely below the 4 GB of a classic TIFF


class PageWriter:
    """Joins the colour images of a scan's pages, each a TIFF of one page, to the one TIFF `path`."""

    def __init__(self, key: str, path: Path, headers: Sequence[ScanHeader]) -> None:
        self._key, self._path, self._pages = key, path, len(headers)
        self._is_big = sum(map(_colour_bytes, headers)) > _CLASSIC_BYTES
        self._added = 0
        self._link: int | None = None  # the place of the last page's pointer to the next page

    def add(self, part: Path) -> None:
        """Add the next page, and remove its file. Raises ScanError unwritable."""
        with writing(self._key):
            if not self._added:
                begin_tiff(self._path, part, big=self._is_big)
            tags: Tags = {
                Tag.NEW_SUBFILE_TYPE: long(_ONE_OF_SEVERAL),
                Tag.PAGE_NUMBER: shorts(self._added, self._pages),
            }
            self._link = add_page(self._path, part, tags, self._link)
            self._added += 1
            part.unlink()


def _colour_bytes(header: ScanHeader) -> int:
    return header.width * header.height * (3 + header.has_alpha) * header.bit_depth // 8
