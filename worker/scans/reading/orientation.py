"""How to rotate a scan upright: by its EXIF or TIFF tag, or else by its XMP."""

from worker.scans.formats import webp
from worker.scans.formats.jp2 import boxes as jp2_boxes
from worker.scans.formats.jpeg import segments
from worker.scans.formats.metadata_limits import MAX_XMP_BYTES, PARSED_TIMES
from worker.scans.formats.png import chunks
from worker.scans.formats.tiff.exif import orientation_of
from worker.scans.formats.tiff.ifd_reader import IfdReader
from worker.scans.formats.tiff.tags import Tag
from worker.scans.metadata import xmp
from worker.scans.reading.scan_file import ScanFile

_UPRIGHT, _LAST = 1, 8


def orientation_of_page(file: ScanFile, page: int = 0) -> int:
    """EXIF's number, 1..8; 1 if the file says nothing or something invalid. Raises FormatError."""
    if page not in file.orientations:
        file.orientations[page] = _orientation(file, page)
    return file.orientations[page]


def _orientation(file: ScanFile, page: int) -> int:
    if file.format == "tiff":
        orientation, packet = _of_tiff(file, page)
    else:
        exif, packet = {"jpeg": _jpeg, "png": _png, "webp": _webp, "jp2": _jp2}[file.format](file)
        orientation = orientation_of(exif.removeprefix(segments.EXIF)) if exif else 0
    file.metadata_bytes = max(file.metadata_bytes, PARSED_TIMES * min(len(packet), MAX_XMP_BYTES))
    if _UPRIGHT <= orientation <= _LAST:
        return orientation
    return xmp.orientation_of(packet) or _UPRIGHT


def _of_tiff(file: ScanFile, number: int) -> tuple[int, bytes]:
    page = file.tiff_page(number)
    if page is None:
        return 0, b""
    with file.path.open("rb") as tiff:
        reader = IfdReader(tiff)
        entries = reader.entries(page.offset)
        packet = entries.get(Tag.XMP)
        is_readable = packet is not None and packet.length <= MAX_XMP_BYTES and not reader.is_beyond(packet)
        data = reader.value(packet).data if packet and is_readable else b""
        return reader.number(entries, Tag.ORIENTATION, 0), data


def _jpeg(file: ScanFile) -> tuple[bytes, bytes]:
    exif = packet = b""
    for marker, content in segments.read_segments(file.path):
        if marker == segments.APP1 and not exif and content.startswith(segments.EXIF):
            exif = content
        elif marker == segments.APP1 and not packet and content.startswith(segments.XMP):
            packet = content[len(segments.XMP) :]
    return exif, packet


def _png(file: ScanFile) -> tuple[bytes, bytes]:
    return chunks.exif_of(file.path) or b"", chunks.xmp_of(file.path) or b""


def _webp(file: ScanFile) -> tuple[bytes, bytes]:
    content = dict(webp.read_chunks(file.path))
    return content.get(webp.EXIF, b""), content.get(webp.XMP, b"")


def _jp2(file: ScanFile) -> tuple[bytes, bytes]:
    uuids = file.jp2_header.boxes.uuids
    return uuids.get(jp2_boxes.EXIF, b""), uuids.get(jp2_boxes.XMP, b"")
