"""Scan files to pixels and back, with everything that must survive: size, depth, lightness, metadata.

    scan = open_scan(path, key, limits)      # refuses what is cut short, hostile or not a scan
    square = scan.square()                   # what the model sees
    composed = compose(scan, square, ab, OutputOptions("jpeg"), output_path)

Nothing here knows of Celery, SQL, settings or TensorFlow, and libvips' exceptions stop here. Everything may be
called from several threads at once, one thread to a scan; a process calls `configure_libraries` first.
"""

from worker.scans.composing import Composed, compose
from worker.scans.formats import FORMATS, OutputOptions, content_type, is_scan_key, output_format, output_key
from worker.scans.libraries import configure_libraries
from worker.scans.opening import Scan, ScanHeader, ScanLimits, open_scan, probe
from worker.scans.square import SQUARE_SIZE, Box, Square

__all__ = [
    "FORMATS",
    "SQUARE_SIZE",
    "Box",
    "Composed",
    "OutputOptions",
    "Scan",
    "ScanHeader",
    "ScanLimits",
    "Square",
    "compose",
    "configure_libraries",
    "content_type",
    "is_scan_key",
    "open_scan",
    "output_format",
    "output_key",
    "probe",
]
