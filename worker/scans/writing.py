"""A colour image to a whole file, with the scan's metadata and an sRGB profile."""

from pathlib import Path

import pyvips

from worker.scans.formats import OutputOptions
from worker.scans.libraries import writing
from worker.scans.opening import Scan

_CARRIED = ("exif-", "xmp-data", "iptc-data", "resolution-unit", "image-description")


def write_image(image: pyvips.Image, scan: Scan, options: OutputOptions, path: Path) -> None:
    """Encode an image to `path` with the scan's metadata. Raises ScanError: unwritable."""
    metadata = scan.metadata()
    with writing(scan.key):
        _save(_with_metadata(image, metadata), options, str(path))


def _with_metadata(image: pyvips.Image, source: pyvips.Image) -> pyvips.Image:
    image = image.copy(xres=source.xres, yres=source.yres)
    for name in source.get_fields():
        if name.startswith(_CARRIED):
            image.set_type(source.get_typeof(name), name, source.get(name))
    if source.get_typeof("exif-data"):
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)  # the pixels are upright; EXIF must say so too
    return image


def _save(image: pyvips.Image, options: OutputOptions, path: str) -> None:
    if options.format == "jpeg":
        # Chroma at full size: subsampled, it would move L* at every edge.
        image.jpegsave(path, Q=options.quality, subsample_mode="off", profile="srgb")
    elif options.format == "png":
        image.pngsave(path, compression=2, filter="up", profile="srgb")
    else:
        image.tiffsave(
            path, compression="deflate", level=2, predictor="horizontal", profile="srgb", bigtiff=_is_huge(image)
        )


def _is_huge(image: pyvips.Image) -> bool:
    """Whether a TIFF might pass the 4 GB that a classic one can address."""
    return bool(image.width * image.height * image.bands * (2 if image.format == "ushort" else 1) > 3 << 30)
