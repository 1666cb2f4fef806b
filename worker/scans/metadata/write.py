"""Writes metadata into an output of any format, as far as the format can hold it."""

from dataclasses import replace
from pathlib import Path

from worker.scans.formats import resolution, webp
from worker.scans.formats.errors import FormatError
from worker.scans.formats.jp2 import boxes
from worker.scans.formats.jpeg import segments as jpeg_segments
from worker.scans.formats.png import chunks as png_chunks
from worker.scans.formats.tiff.ifd_writer import add_to_tiff, exif_block, keeps_note
from worker.scans.formats.tiff.tags import BYTE, UNDEFINED, Exif, Tag, Tags, Value, fraction, long, short
from worker.scans.metadata import photoshop
from worker.scans.metadata.photoshop import Resource
from worker.scans.metadata.read import Metadata
from worker.scans.metadata.xmp import portions_of

# TIFF's tags that EXIF defines (CIPA DC-008, 4.6.4), and those that Windows and scanners add. Only a TIFF can hold
# others.
_IN_EXIF = {
    *(269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 318, 319, 33432),
    *(18246, 18249, 40091, 40092, 40093, 40094, 40095),
}
_SRGB, _SRGB_INDEX = 1, Value(2, b"R98\0")
_INCH = 2  # as a ResolutionUnit


def add_metadata(path: Path, format: str, metadata: Metadata, width: int, height: int) -> tuple[str, ...]:
    """Write metadata into an output of `width` x `height` pixels. Returns names of what the format can't hold."""
    metadata = replace(metadata, exif=_fitting(metadata.exif, width, height), lost=list(metadata.lost))
    if Tag.MAKER_NOTE in metadata.exif.exif and (format == "tiff" or not keeps_note(metadata.exif)):
        metadata.lost.append("places within the maker's note (it is there, but has moved)")
    add = {"jpeg": _add_to_jpeg, "png": _add_to_png, "tiff": _add_to_tiff, "jp2": _add_to_jp2, "webp": _add_to_webp}
    add[format](path, metadata)
    return tuple(metadata.lost)


def _fitting(exif: Exif, width: int, height: int) -> Exif:
    """The tags, with values that are true for the output's pixels."""
    truths: Tags = {
        Tag.COLOR_SPACE: short(_SRGB),
        Tag.PIXEL_X_DIMENSION: long(width),
        Tag.PIXEL_Y_DIMENSION: long(height),
    }
    index: Tags = {Tag.INTEROPERABILITY_INDEX: _SRGB_INDEX} if Tag.COLOR_SPACE in exif.exif else {}
    return replace(exif, exif=_with(exif.exif, truths), interoperability=_with(exif.interoperability, index))


def _with(tags: Tags, truths: Tags) -> Tags:
    return {tag: truths.get(tag, value) for tag, value in tags.items()}


def _add_to_jpeg(path: Path, metadata: Metadata) -> None:
    exif = _without_strange_tags(metadata)
    resources = photoshop.pack_resources(_with_iptc(metadata))
    segments = [
        (jpeg_segments.APP1, jpeg_segments.EXIF, exif_block(exif) if exif else b"", "EXIF"),
        (jpeg_segments.APP1, jpeg_segments.XMP, metadata.xmp or b"", "XMP"),
        (jpeg_segments.APP13, jpeg_segments.PHOTOSHOP, resources, "IPTC and Photoshop resources"),
    ]
    for portion in portions_of(metadata.extended_xmp or b""):
        segments.append((jpeg_segments.APP1, jpeg_segments.EXTENDED_XMP, portion, "extended XMP"))
    for keyword, text in metadata.texts:
        if keyword == "Comment":
            segments.append((jpeg_segments.COMMENT, b"", text, "comment"))
        else:
            metadata.lost.append(f"text {keyword}")
    fitting = [jpeg_segments.jfif(metadata.per_millimetre)]
    for marker, mark, content, name in segments:
        if len(mark) + len(content) > jpeg_segments.MOST_BYTES:
            metadata.lost.append(f"{name} (over 64 KB)")
        elif content:
            fitting.append((marker, mark + content))
    jpeg_segments.add_segments(path, fitting)


def _add_to_png(path: Path, metadata: Metadata) -> None:
    exif = _without_strange_tags(metadata)
    chunks = [(b"eXIf", exif_block(exif))] if exif else []
    if metadata.xmp:
        chunks.append(png_chunks.text_chunk(png_chunks.XMP, metadata.xmp))
    if metadata.iptc:
        only = photoshop.pack_resources([Resource(photoshop.IPTC, b"\0\0", metadata.iptc)])
        chunks.append(png_chunks.raw_profile_chunk("iptc", only))
    if metadata.resources:
        metadata.lost.append("Photoshop resources")
    chunks += [png_chunks.text_chunk(keyword, text) for keyword, text in metadata.texts]
    png_chunks.add_chunks(path, chunks)


def _add_to_jp2(path: Path, metadata: Metadata) -> None:
    """As ExifTool writes them: EXIF with all TIFF tags, IPTC, and Photoshop's resources, each in its own box."""
    blocks = {
        boxes.EXIF: exif_block(metadata.exif) if metadata.exif else b"",
        boxes.IPTC: metadata.iptc or b"",
        boxes.PHOTOSHOP: photoshop.pack_resources(metadata.resources),
        boxes.XMP: metadata.xmp or b"",
    }
    metadata.lost += [f"text {keyword}" for keyword, _ in metadata.texts]
    boxes.add_uuids(path, {block_type: content for block_type, content in blocks.items() if content})


def _add_to_webp(path: Path, metadata: Metadata) -> None:
    exif = _without_strange_tags(metadata)
    if metadata.per_millimetre != resolution.UNKNOWN_RESOLUTION:  # a WebP has no other place for it
        across, down = (fraction(round(value * 25_400), 1000) for value in metadata.per_millimetre)
        exif.main |= {
            Tag.X_RESOLUTION: across,
            Tag.Y_RESOLUTION: down,
            Tag.RESOLUTION_UNIT: short(_INCH),
        }
    blocks = [(webp.EXIF, exif_block(exif) if exif else b""), (webp.XMP, metadata.xmp or b"")]
    metadata.lost += ["IPTC"] if metadata.iptc else []
    metadata.lost += ["Photoshop resources"] if metadata.resources else []
    metadata.lost += [f"text {keyword}" for keyword, _ in metadata.texts]
    webp.add_chunks(path, [(block_type, content) for block_type, content in blocks if content])


def _add_to_tiff(path: Path, metadata: Metadata) -> None:
    blocks = {
        Tag.XMP: (BYTE, metadata.xmp),
        Tag.IPTC: (UNDEFINED, metadata.iptc),
        Tag.PHOTOSHOP_RESOURCES: (BYTE, photoshop.pack_resources(metadata.resources)),
    }
    tags: Tags = {tag: Value(block_type, data) for tag, (block_type, data) in blocks.items() if data}
    metadata.lost += [f"text {keyword}" for keyword, _ in metadata.texts]
    exif = replace(metadata.exif, main={**metadata.exif.main, **tags})
    if not exif:
        return
    try:
        add_to_tiff(path, exif)
    except FormatError as error:  # Photochrom wrote the file, but its directory is far too large
        metadata.lost.append(f"all tags ({error})")


def _without_strange_tags(metadata: Metadata) -> Exif:
    strange = sorted(set(metadata.exif.main) - _IN_EXIF)
    if strange:
        metadata.lost.append("TIFF tags " + ", ".join(map(str, strange)))
    return replace(metadata.exif, main={tag: value for tag, value in metadata.exif.main.items() if tag not in strange})


def _with_iptc(metadata: Metadata) -> list[Resource]:
    iptc = [Resource(photoshop.IPTC, b"\0\0", metadata.iptc)] if metadata.iptc else []
    return iptc + metadata.resources
