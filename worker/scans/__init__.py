"""Reads scan files and writes outputs. Size, depth, lightness and metadata are kept.

    scan = open_scan(path, key, limits)      # refuses what is cut short, hostile or not a scan
    model_input = scan.model_input()         # what the model sees
    composed = compose(scan, model_input, ab, OutputOptions("jpeg"), output_path)

Nothing here knows of Celery, SQL, settings or TensorFlow, and libvips' exceptions stop here. Everything may be
called from several threads at once, one thread to a scan; a process calls `configure_libraries` first.

Names of formats and keys are imported at once. The other names load libvips and OpenCV when they are first used, so
that the command line stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from worker.scans.format_names import FORMATS, OutputOptions, content_type, is_scan_key, output_format, output_key

if TYPE_CHECKING:
    from worker.scans.geometry import Box
    from worker.scans.reading.model_input import MODEL_INPUT_SIZE, ModelInput
    from worker.scans.reading.probe import ScanHeader, probe, probe_pages
    from worker.scans.reading.scan import OpenScan, open_scan
    from worker.scans.reading.scan_file import ScanFile, ScanLimits, open_scan_file
    from worker.scans.vips import configure_libraries
    from worker.scans.writing.compose import Composed, compose

__all__ = [
    "FORMATS",
    "MODEL_INPUT_SIZE",
    "Box",
    "Composed",
    "ModelInput",
    "OpenScan",
    "OutputOptions",
    "ScanFile",
    "ScanHeader",
    "ScanLimits",
    "compose",
    "configure_libraries",
    "content_type",
    "is_scan_key",
    "open_scan",
    "open_scan_file",
    "output_format",
    "output_key",
    "probe",
    "probe_pages",
]

_HOMES = {
    "worker.scans.writing.compose": ("Composed", "compose"),
    "worker.scans.geometry": ("Box",),
    "worker.scans.reading.model_input": ("MODEL_INPUT_SIZE", "ModelInput"),
    "worker.scans.reading.probe": ("ScanHeader", "probe", "probe_pages"),
    "worker.scans.reading.scan": ("OpenScan", "open_scan"),
    "worker.scans.reading.scan_file": ("ScanFile", "ScanLimits", "open_scan_file"),
    "worker.scans.vips": ("configure_libraries",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
