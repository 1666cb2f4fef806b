"""Encodes a colour image to a file, with the scan's metadata and an sRGB profile."""

from pathlib import Path

import pyvips

from worker.colour.icc_reader import has_damaged_profile
from worker.scans.format_names import OutputOptions
from worker.scans.formats.jp2.writer import save_jp2
from worker.scans.formats.jpeg.segments import MOST_XMP_BYTES
from worker.scans.formats.resolution import UNKNOWN_RESOLUTION
from worker.scans.metadata.provenance import Provenance, with_provenance
from worker.scans.metadata.read import Metadata, read_metadata
from worker.scans.metadata.write import add_metadata
from worker.scans.metadata.xmp import split
from worker.scans.reading.scan import OpenScan
from worker.scans.vips import writing

_TILE = 256  # pixels; the side of a pyramid's tiles
_UNIT = "resolution-unit"


def write_image(
    image: pyvips.Image, scan: OpenScan, options: OutputOptions, path: Path, provenance: Provenance | None = None
) -> tuple[str, ...]:
    """Encode an image to `path` with the scan's metadata and its provenance. Returns what the format can't hold.

    Raises ScanError: unwritable.
    """
    header, metadata = scan.header_image(), read_metadata(scan.file, scan.header.page)
    if scan.header.is_on_its_side:
        metadata.turn()
    if (header.xres, header.yres) == UNKNOWN_RESOLUTION:  # a JPEG 2000 or WebP may have it only in its EXIF
        header = header.copy(xres=metadata.per_millimetre[0], yres=metadata.per_millimetre[1])
    metadata.per_millimetre = (header.xres, header.yres)
    metadata.lost += ["ICC profile (damaged: the scan was read as if it had none)"] * has_damaged_profile(header)
    if provenance:
        _say_provenance(metadata, provenance, options.format)
    with writing(scan.key):
        _save(_with_resolution(image, header), options, str(path))
        return add_metadata(path, options.format, metadata, scan.width, scan.height)


def _say_provenance(metadata: Metadata, provenance: Provenance, format: str) -> None:
    """Add the provenance to the scan's XMP, or replace the XMP if it is damaged."""
    metadata.xmp, readable = with_provenance(metadata.xmp, provenance)
    if format == "jpeg" and len(metadata.xmp) > MOST_XMP_BYTES:
        metadata.xmp, metadata.extended_xmp = split(metadata.xmp)
    metadata.lost += [] if readable else ["XMP (damaged)"]


def _with_resolution(image: pyvips.Image, source: pyvips.Image) -> pyvips.Image:
    image = image.copy(xres=source.xres, yres=source.yres)
    if source.get_typeof(_UNIT):
        image.set_type(source.get_typeof(_UNIT), _UNIT, source.get(_UNIT))
    return image


def _save(image: pyvips.Image, options: OutputOptions, path: str) -> None:
    if options.format == "jpeg":
        # Chroma has the full size, because subsampled chroma would change L* at every edge.
        image.jpegsave(path, Q=options.quality, subsample_mode="off", profile="srgb", keep="icc")
    elif options.format == "png":
        image.pngsave(path, compression=2, filter="up", profile="srgb", keep="icc")
    elif options.format == "webp":
        image.webpsave(path, lossless=True, exact=True, effort=2, profile="srgb", keep="icc")
    elif options.format == "jp2":
        resolution = (image.xres, image.yres)
        save_jp2(image, Path(path), resolution if resolution != UNKNOWN_RESOLUTION else None)
    else:
        save_tiff(image, options, path)


def save_tiff(image: pyvips.Image, options: OutputOptions, path: str) -> None:
    """Write the pixels alone as a TIFF; raises pyvips.Error."""
    image.tiffsave(
        path,
        compression=options.compression,
        level=2,  # of deflate
        predictor="none" if options.compression == "none" else "horizontal",
        tile=options.pyramid,
        tile_width=_TILE,
        tile_height=_TILE,
        pyramid=options.pyramid,
        subifd=options.pyramid and options.is_page,
        profile="srgb",
        keep="icc",
        bigtiff=_is_huge(image),
    )


def _is_huge(image: pyvips.Image) -> bool:
    """Whether a TIFF might exceed the 4 GB that a classic TIFF can address."""
    return bool(image.width * image.height * image.bands * (2 if image.format == "ushort" else 1) > 3 << 30)
