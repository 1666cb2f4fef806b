"""Reads a scan's metadata from any format: EXIF, XMP, IPTC, Photoshop's resources, texts.

The resolution is handled here only for JPEG; libvips does this for other formats. The output's profile is sRGB's.
Thumbnails are left out because they show the grey scan, and orientation because it is applied.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from worker.scans.formats import resolution, webp
from worker.scans.formats.errors import FormatError
from worker.scans.formats.jp2 import boxes as jp2_boxes
from worker.scans.formats.jpeg import segments
from worker.scans.formats.metadata_limits import MAX_TOTAL_BYTES, MAX_XMP_BYTES
from worker.scans.formats.png import chunks
from worker.scans.formats.tiff.exif import read_exif
from worker.scans.formats.tiff.layout import TiffPage, alpha_among
from worker.scans.formats.tiff.tags import FRACTION, Exif, Tag, Tags, Value
from worker.scans.metadata import photoshop, xmp
from worker.scans.metadata.photoshop import Resource
from worker.scans.reading.scan_file import ScanFile

# Tags of pixels and their arrangement (TIFF 6.0; libtiff). An output has its own.
_STRUCTURE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284, 288, 289),
    *(290, 291, 292, 293, 297, 300, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 332, 334, 336),
    *(338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34675),
}
_MORE_PIXELS = {Tag.SUB_IFDS, Tag.PHOTOSHOP_LAYERS}  # other pages and layers: their offsets are useless elsewhere
_RESOLUTION, _INCH = (Tag.X_RESOLUTION, Tag.Y_RESOLUTION), 2
_UNITS = (1, 2, 3)  # of a resolution: none, inch, centimetre; others are damage
_UNIT_MILLIMETRES = {2: 25.4, 3: 10.0}  # inch, centimetre
_IPTC_MARK = 0x1C  # each field of IPTC begins with it
_IPTC_TEXT = "iptc"
_ANCESTORS = "photoshop:DocumentAncestors of XMP (too long)"
_MAX_LOST = 100  # at most this many are named one by one
_ONE_OF_EACH = {segments.EXIF: "EXIF", segments.XMP: "XMP"}


@dataclass(slots=True)
class Metadata:
    """`iptc` is the IIM data set, and `xmp` a packet. `lost` names metadata that could not be read."""

    exif: Exif = field(default_factory=Exif)
    xmp: bytes | None = None
    extended_xmp: bytes | None = None  # the part that does not fit into a JPEG's segment; only for JPEG outputs
    iptc: bytes | None = None
    resources: list[Resource] = field(default_factory=list)  # Photoshop's, without IPTC
    texts: list[tuple[str, bytes]] = field(default_factory=list)  # keyword and UTF-8 text
    per_millimetre: tuple[float, float] = resolution.UNKNOWN_RESOLUTION  # pixels per millimetre
    lost: list[str] = field(default_factory=list)

    def turn(self) -> None:
        """Exchange horizontal and vertical values, for a scan that is rotated by a quarter in the file."""
        main, (across, down) = self.exif.main, _RESOLUTION
        turned: dict[int, int] = {across: down, down: across}
        self.exif.main = {turned.get(tag, tag): value for tag, value in main.items()}
        self.per_millimetre = self.per_millimetre[::-1]


def read_metadata(file: ScanFile, page: int = 0) -> Metadata:
    """The metadata in a scan's file, or in a page of a TIFF. What can't be read is named in `lost`."""
    metadata = Metadata(lost=list(file.structure.lost))
    if file.format != "tiff":
        readers = {"jpeg": _read_jpeg, "png": _read_png, "jp2": _read_jp2, "webp": _read_webp}
        readers[file.format](file.path, metadata)
    elif tiff_page := file.tiff_page(page):
        _read_tiff(file.path, metadata, tiff_page)
    _shorten_xmp(metadata)
    return metadata


def _shorten_xmp(metadata: Metadata) -> None:
    """Shorten XMP that would take too much memory to parse, or leave it out."""
    if metadata.xmp and len(metadata.xmp) > MAX_XMP_BYTES:
        shorter = xmp.without_ancestors(metadata.xmp)
        if len(shorter) < len(metadata.xmp):
            _lose(metadata, _ANCESTORS)
        metadata.xmp = shorter if len(shorter) <= MAX_XMP_BYTES else None
        if metadata.xmp is None:
            _lose(metadata, f"XMP (over {MAX_XMP_BYTES >> 10} KB)")


def _read_jpeg(path: Path, metadata: Metadata) -> None:
    block, extended, marks, bytes_left = b"", [], set[bytes](), MAX_TOTAL_BYTES
    for marker, content in segments.read_segments(path):
        bytes_left -= len(content)
        if bytes_left < 0:
            _lose(metadata, f"JPEG segments beyond {MAX_TOTAL_BYTES >> 20} MB")
            break
        if marker == segments.COMMENT:
            metadata.texts.append(("Comment", _as_utf_8(content.rstrip(b"\0"))))
        elif mark := next((mark for mark in _ONE_OF_EACH if content.startswith(mark)), None):
            # Readers, including libvips, use only the first.
            if mark in marks:
                _lose(metadata, f"another JPEG segment of {_ONE_OF_EACH[mark]}")
            elif mark == segments.EXIF:
                _take_exif(content[len(mark) :], metadata)
            else:
                metadata.xmp = content[len(mark) :]
            marks.add(mark)
        elif content.startswith(segments.EXTENDED_XMP):
            extended.append(content[len(segments.EXTENDED_XMP) :])
        elif marker == segments.APP13 and content.startswith(segments.PHOTOSHOP):
            block += content[len(segments.PHOTOSHOP) :]
        elif name := segments.name_of_other((marker, content)):
            _lose(metadata, f"JPEG segment {name}")
    _take_resources(block, metadata)
    if xmp.names_extended(metadata.xmp or b""):
        whole, is_shortened = xmp.joined(metadata.xmp or b"", extended)
        metadata.xmp = whole or metadata.xmp
        metadata.lost += [_ANCESTORS] if is_shortened else []
        metadata.lost += [] if whole else ["extended XMP (damaged)"]


def _read_png(path: Path, metadata: Metadata) -> None:
    has_exif, bytes_left = False, MAX_TOTAL_BYTES
    for chunk in chunks.read_chunks(path):
        if chunk[0] == b"eXIf" and not has_exif:
            _take_exif(chunk[1], metadata)
            has_exif = True
            continue
        if chunk[0] not in chunks.TEXTS or not chunk[1]:
            _lose(metadata, f"PNG chunk {chunk[0].decode('ascii', 'replace')}")
            continue
        try:
            keyword, text = chunks.text_of(chunk, bytes_left)
        except chunks.TextTooLong as long_text:
            _lose(metadata, f"text {long_text} (over {MAX_TOTAL_BYTES >> 20} MB in all)")
            continue
        bytes_left -= len(text or b"")
        name = keyword.removeprefix(chunks.RAW)
        if text is None:
            _lose(metadata, f"text {keyword} (damaged)")
        elif keyword == chunks.XMP:
            metadata.xmp = text
        elif name == keyword:
            metadata.texts.append((keyword, text))
            if chunks.has_language(chunk):
                _lose(metadata, f"language of the text {keyword}")
        elif name == _IPTC_TEXT:
            _take_iptc(chunks.raw_profile(text), metadata)
        elif name in chunks.EXIF_NAMES and not metadata.exif:
            _take_exif((chunks.raw_profile(text) or b"").removeprefix(segments.EXIF), metadata)
        elif name == "xmp" and metadata.xmp is None:
            metadata.xmp = chunks.raw_profile(text)
            metadata.lost += ["XMP (damaged)"] if metadata.xmp is None else []
        elif name not in ("icc", "icm"):
            _lose(metadata, f"PNG profile {name}")


def _read_jp2(path: Path, metadata: Metadata) -> None:
    boxes = jp2_boxes.read_boxes(path)
    metadata.xmp = boxes.uuids.get(jp2_boxes.XMP)
    _take_resources(boxes.uuids.get(jp2_boxes.PHOTOSHOP, b""), metadata)
    metadata.iptc = boxes.uuids.get(jp2_boxes.IPTC) or metadata.iptc
    if jp2_boxes.EXIF in boxes.uuids:
        _take_exif(boxes.uuids[jp2_boxes.EXIF].removeprefix(segments.EXIF), metadata)
    for box_type in boxes.unread:
        _lose(metadata, f"JPEG 2000 box {box_type}")


def _read_webp(path: Path, metadata: Metadata) -> None:
    for chunk_type, content in webp.read_chunks(path):
        if chunk_type == webp.XMP and content:
            metadata.xmp = content
        elif chunk_type != webp.EXIF:
            _lose(metadata, f"WebP chunk {chunk_type.decode('ascii', 'replace').strip()}")
        else:
            _take_exif(content.removeprefix(segments.EXIF), metadata)


def _read_tiff(path: Path, metadata: Metadata, page: TiffPage) -> None:
    try:
        with path.open("rb") as file:
            exif = read_exif(file, page.offset)
    except FormatError:
        _lose(metadata, "TIFF tags (damaged)")
        return
    metadata.lost += [f"TIFF {words}" for words in exif.lost]
    main = exif.main
    if unread := sorted(tag for tag, value in main.items() if not value.data and tag not in _STRUCTURE | _MORE_PIXELS):
        _lose(metadata, f"TIFF tags {', '.join(map(str, unread))} (empty, or too long to be read)")
        main = {tag: value for tag, value in main.items() if tag not in unread}
    metadata.xmp = _bytes_of(main, Tag.XMP)
    _take_resources(_bytes_of(main, Tag.PHOTOSHOP_RESOURCES) or b"", metadata)
    metadata.iptc = _iptc_of(main) or metadata.iptc
    if other_channels := len(page.extra_samples) - (alpha_among(page.extra_samples) is not None):
        _lose(metadata, f"{other_channels} of its channels (neither colour nor alpha, such as infrared)")
    if _MORE_PIXELS & set(main):
        _lose(metadata, "TIFF layers or further images")
    exif.main = _descriptive(main)
    metadata.exif = exif


def _descriptive(main: Tags) -> Tags:
    """The tags that do not describe pixels or their arrangement, without impossible values."""
    unit = main.get(Tag.RESOLUTION_UNIT)
    untrue = {Tag.RESOLUTION_UNIT} if unit and unit.number() not in _UNITS else set()
    # Readers fail on a resolution that is no fraction.
    untrue |= {tag for tag in _RESOLUTION if tag in main and main[tag].field_type != FRACTION}
    return {tag: value for tag, value in main.items() if tag not in _STRUCTURE | _MORE_PIXELS | untrue}


def _take_exif(block: bytes, metadata: Metadata) -> None:
    try:
        exif = read_exif(io.BytesIO(block))
    except FormatError:
        _lose(metadata, "EXIF (damaged)")
        return
    metadata.lost += [f"EXIF: {words}" for words in exif.lost]
    exif.main = _descriptive(exif.main)
    metadata.exif = exif
    metadata.per_millimetre = _resolution(exif.main) or metadata.per_millimetre


def _resolution(main: Tags) -> tuple[float, float] | None:
    """Pixels per millimetre, across and down; None if the tags do not give them."""
    unit = _UNIT_MILLIMETRES.get(main[Tag.RESOLUTION_UNIT].number() if Tag.RESOLUTION_UNIT in main else _INCH)
    parts = [main[tag].numbers()[:2] for tag in _RESOLUTION if tag in main and main[tag].field_type == FRACTION]
    if unit is None or len(parts) < len(_RESOLUTION) or not all(len(part) == 2 and all(part) for part in parts):
        return None
    across, down = (above / below / unit for above, below in parts)
    return (across, down) if max(across, down) < resolution.MOST_PER_MILLIMETRE else None


def _take_iptc(profile: bytes | None, metadata: Metadata) -> None:
    """Store a PNG's IPTC, which is a resource block or the bare data set."""
    if profile is None:
        _lose(metadata, "IPTC (damaged)")
    elif profile.startswith(b"8BIM"):
        _take_resources(profile, metadata)
    else:
        metadata.iptc = profile


def _take_resources(block: bytes, metadata: Metadata) -> None:
    resources, is_whole = photoshop.read_resources(block)
    metadata.lost += [] if is_whole else ["Photoshop resources (damaged, from some place on)"]
    for resource in resources:
        if resource.resource_id == photoshop.IPTC:
            metadata.iptc = resource.data
        else:
            metadata.resources.append(resource)


def _as_utf_8(text: bytes) -> bytes:
    """The comment in UTF-8. JPEG names no encoding: a comment that is not valid UTF-8 is read as Latin-1."""
    try:
        return text.decode().encode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()


def _bytes_of(main: Tags, tag: int) -> bytes | None:
    """The bytes of a tag, which is removed from `main`."""
    value: Value | None = main.pop(tag, None)
    return value.data if value else None


def _iptc_of(main: Tags) -> bytes | None:
    """A TIFF's data set. Photoshop and others wrongly store it as numbers of 32 bits.

    In big-endian files, its bytes are then swapped by fours. The place of its first mark shows this.
    """
    data = _bytes_of(main, Tag.IPTC)
    if data and data[0] != _IPTC_MARK and data[3:4] == bytes([_IPTC_MARK]):
        return b"".join(data[place : place + 4][::-1] for place in range(0, len(data), 4))
    return data


def _lose(metadata: Metadata, words: str) -> None:
    if len(metadata.lost) == _MAX_LOST:
        metadata.lost.append("and more")
    elif words not in metadata.lost and len(metadata.lost) < _MAX_LOST:
        metadata.lost.append(words)
