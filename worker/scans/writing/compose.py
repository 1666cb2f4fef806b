"""Composes the colour image: the scan's own lightness, size and depth with the model's a*, b*."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.colour.colourfulness import Colourfulness
from worker.errors import ScanError
from worker.scans.format_names import OutputOptions
from worker.scans.geometry import Box, Shape
from worker.scans.metadata.provenance import Provenance
from worker.scans.reading.model_input import ModelInput
from worker.scans.reading.probe import HELD_BYTES
from worker.scans.reading.scan import OpenScan
from worker.scans.writing.encode import write_image
from worker.scans.writing.painters import Painter, painter_of, to_depth_of
from worker.scans.writing.pixel_stream import PixelStream, image_of
from worker.scans.writing.watermark import Label

_STRIP_PIXELS = 1 << 16  # so small that a strip's a*, b*, index and colours stay in a core's cache

_EIGHT_BITS = ("jpeg", "webp")  # formats that hold at most 8 bits for a sample
_MOST_PIXELS = {"jpeg": 65_500, "webp": 16_383}  # of a side: the limits of libjpeg and RFC 9649


@dataclass(frozen=True, slots=True)
class Composed:
    """What was written: pixels, bits per sample, bytes, colourfulness (Hasler and Suesstrunk 2003), colour."""

    width: int
    height: int
    bit_depth: int
    colourfulness: float
    bytes: int
    lost: tuple[str, ...] = ()  # metadata that the output can't carry, in words
    clipped_share: float = 0.0  # 0..1, pure black or white
    mean_ab: tuple[float, float] = (0.0, 0.0)  # CIE a*, b* of the output


def compose(
    scan: OpenScan,
    model_input: ModelInput,
    ab: NDArray[np.float32],
    options: OutputOptions,
    path: Path,
    provenance: Provenance | None = None,
) -> Composed:
    """Write the scan in colour to `path`, completely or not at all.

    `ab` is CIE a*, b* of the model input, float32 (size, size, 2). Each pixel keeps the scan's L*; a colour that sRGB
    can't show at that L* loses chroma, not lightness or hue. JPEG and WebP have 8 bits; else the output has the scan's
    depth.
    Raises ScanError: unsupported (JPEG for a scan with transparency), unwritable, or as `OpenScan.strips` does.
    """
    if ab.shape != (*model_input.lightness.shape, 2) or not np.isfinite(ab).all():
        raise ValueError(f"ab has shape {ab.shape}; expected finite numbers {(*model_input.lightness.shape, 2)}")
    _expect_room(scan, options.format)
    bands = 4 if scan.header.has_alpha and options.format != "jpeg" else 3
    shape = Shape(scan.width, scan.height, bands, 8 if options.format in _EIGHT_BITS else scan.bit_depth)
    colourfulness = Colourfulness(scan.width, scan.height)
    label = Label(options.label, model_input.picture or Box(0, 0, scan.width, scan.height)) if options.label else None
    try:
        lost = _write(scan, model_input, ab, shape, options, path, provenance, colourfulness, label)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Composed(
        scan.width,
        scan.height,
        shape.bit_depth,
        colourfulness.value(),
        path.stat().st_size,
        (*lost, *_lost_pixels(scan, shape, label)),
        colourfulness.clipped_share(),
        colourfulness.mean_ab(),
    )


def _write(
    scan: OpenScan,
    model_input: ModelInput,
    ab: NDArray[np.float32],
    shape: Shape,
    options: OutputOptions,
    path: Path,
    provenance: Provenance | None,
    colourfulness: Colourfulness,
    label: Label | None,
) -> tuple[str, ...]:
    """Paint and encode the scan, in memory if it is small enough. Returns the metadata that was lost."""
    rows = min(scan.height, max(1, _STRIP_PIXELS // scan.width))
    painter = painter_of(scan, model_input, ab, rows, shape.bit_depth)
    held = shape.bytes <= HELD_BYTES
    canvas = shape.room(scan.height if held else rows)
    rooms = (canvas[top : top + rows] for top in range(0, scan.height, rows)) if held else repeat(canvas)
    strips = _painted_strips(scan, painter, rows, rooms, colourfulness, label)
    if held:
        deque(strips, maxlen=0)
        return write_image(image_of(canvas), scan, options, path, provenance)
    with PixelStream(strips, shape, rows) as stream:
        return write_image(stream.image(), scan, options, path, provenance)


def _lost_pixels(scan: OpenScan, shape: Shape, label: Label | None) -> Iterator[str]:
    """Properties of the scan's pixels that the output lacks, in words."""
    if shape.bit_depth < scan.bit_depth:
        yield f"depth ({shape.bit_depth} of {scan.bit_depth} bits are kept)"
    yield from scan.lost
    if scan.clips_floats:
        yield "floats beyond 0 to 1 (clipped)"
    if label and not label.fits:
        yield "label (there is no room for it)"


def _expect_room(scan: OpenScan, format: str) -> None:
    limit = _MOST_PIXELS.get(format)
    if limit and max(scan.width, scan.height) > limit:
        holds = f"a {format.upper()} holds {limit:,} a side"
        message = f"{scan.key} has {scan.width:,} x {scan.height:,} pixels; {holds}: expected --format png or tiff"
        raise ScanError("unsupported", message, permanent=True)


def _painted_strips(
    scan: OpenScan,
    painter: Painter,
    rows: int,
    rooms: Iterable[Pixels],
    colourfulness: Colourfulness,
    label: Label | None,
) -> Iterator[Pixels]:
    """Paint the colours strip by strip, each into its room (rows, width, 3 or 4), and give them."""
    top = 0
    for strip, room in zip(scan.strips(rows), rooms, strict=False):
        colours = room[: len(strip)]
        painter.paint(top, strip[..., 0], colours)
        if colours.shape[2] == 4:
            colours[..., 3] = to_depth_of(colours, strip[..., 1])
        elif strip.shape[2] == 2:
            _expect_opaque(scan, strip[..., 1])
        colourfulness.add(top, colours)
        if label:
            label.stamp(top, colours)
        yield colours
        top += len(strip)


def _expect_opaque(scan: OpenScan, alpha: Pixels) -> None:
    if alpha.min() < np.iinfo(alpha.dtype).max:
        message = f"{scan.key} has transparent pixels, which JPEG can't hold; expected --format png or tiff"
        raise ScanError("unsupported", message, permanent=True)
