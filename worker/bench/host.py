"""The host's work on a scan, without fetching and storing: opening, composing and encoding; and encoding alone.

python -m worker.bench.host
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.bench.lines import answer
from worker.scans import (
    ModelInput,
    OpenScan,
    OutputOptions,
    ScanLimits,
    compose,
    configure_libraries,
    open_scan,
    open_scan_file,
    probe_pages,
)
from worker.scans.reading.colour_detection import coloured_share
from worker.scans.writing.encode import save_tiff, write_image
from worker.system.parent_watch import end_with_parent

_LIMITS = ScanLimits(max_bytes=1 << 40, max_pixels=1 << 40)
_JPEG = OutputOptions("jpeg")


def smooth_ab() -> NDArray[np.float32]:
    """Colours like a model's, without edges: (400, 400, 2), about -40..40, always the same."""
    few = np.random.default_rng(4).uniform(-40, 40, (8, 8, 2)).astype(np.float32)
    return np.asarray(cv2.resize(few, (400, 400), interpolation=cv2.INTER_CUBIC), np.float32)


class HostBench:
    """Works on scans on this machine's disk, in one thread. Times are in seconds of time.perf_counter()."""

    def __init__(self, folder: Path) -> None:
        configure_libraries()
        self._output, self._ab = folder / "output", smooth_ab()
        self._paths: list[Path] = []
        self._ready: tuple[OpenScan, ModelInput, pyvips.Image] | None = None

    def take(self, paths: list[str]) -> int:
        """Set the scans to work on. The first one is opened for `compose` and `encode`."""
        self._paths = [Path(path) for path in paths]
        scan = open_scan(self._paths[0], "scan", _LIMITS)
        model_input = scan.model_input()
        whole = self._output.with_suffix(".tif")
        compose(scan, model_input, self._ab, OutputOptions("tiff", compression="none"), whole)
        colours = pyvips.Image.tiffload(str(whole)).copy_memory()
        self._ready = scan, model_input, colours
        return len(self._paths)

    def take_tiff(self, path: str, output: str, compression: str) -> int:
        """Set the TIFF for `libvips_alone`, and the output that a worker made of it, whose pixels are
        held in memory.
        """
        self._paths, self._compression = [Path(path)], compression
        self._colours = pyvips.Image.tiffload(output).copy_memory()
        return int(self._colours.width * self._colours.height)

    def libvips_alone(self, seconds: float) -> dict[str, float]:
        """Read the TIFF and write the pixels of the output with the options of a worker, and nothing else."""

        def read_and_write() -> None:
            pyvips.Image.tiffload(str(self._paths[0]), access="sequential").copy_memory()
            save_tiff(self._colours, OutputOptions("tiff", compression=self._compression), str(self._output))

        return self._for(seconds, read_and_write)

    def all_of_it(self, seconds: float) -> dict[str, float]:
        """Do all host work on scans (everything except fetching, predicting and storing) for about `seconds`."""
        return self._for(seconds, self._one_scan)

    def compose(self, seconds: float) -> dict[str, float]:
        """Compose and encode one opened scan again and again."""
        scan, model_input, _ = self._prepared()
        return self._for(seconds, lambda: compose(scan, model_input, self._ab, _JPEG, self._output))

    def encode(self, seconds: float) -> dict[str, float]:
        """Only encode; the colours come from `compose`."""
        scan, _, colours = self._prepared()
        return self._for(seconds, lambda: write_image(colours, scan, _JPEG, self._output))

    def open(self, seconds: float) -> dict[str, float]:
        """Only decode the scan, and make the model input."""
        return self._for(seconds, lambda: open_scan(self._paths[0], "scan", _LIMITS).model_input())

    def _one_scan(self) -> None:
        self._paths = [*self._paths[1:], self._paths[0]]
        file = open_scan_file(self._paths[0], "scan", _LIMITS)
        header = probe_pages(file, _LIMITS)[0]
        coloured_share(file)
        scan = OpenScan(file, header)
        model_input = scan.model_input(picture=scan.find_picture())
        compose(scan, model_input, self._ab, _JPEG, self._output)

    def _for(self, seconds: float, work: Callable[[], Any]) -> dict[str, float]:
        scans, began, cpu = 0, time.perf_counter(), time.process_time()
        while scans == 0 or time.perf_counter() - began < seconds:
            work()
            scans += 1
        return {"scans": scans, "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}

    def _prepared(self) -> tuple[OpenScan, ModelInput, pyvips.Image]:
        assert self._ready is not None, "take comes first"
        return self._ready


def main() -> None:
    end_with_parent()
    with tempfile.TemporaryDirectory(prefix="photochrom-bench-") as folder:
        bench = HostBench(Path(folder))
        names = ("take", "take_tiff", "all_of_it", "compose", "encode", "open", "libvips_alone")
        answer({name: getattr(bench, name) for name in names})


if __name__ == "__main__":
    main()
