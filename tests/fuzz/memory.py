"""`python -m tests.fuzz.memory`: colourize hostile files in this process, and measure the memory above the budget."""

import argparse
import ctypes
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.queries.scans.records import ScanMeasurements
from tests.fuzz.files import Hostile, bombs, hostile_files
from worker.errors import ScanError
from worker.inference.client import Prediction
from worker.inference.colour_options import ColourOptions
from worker.inference.models.stub_model import stub_ab
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Assignment, Pipeline
from worker.scans import OutputOptions, ScanLimits, configure_libraries
from worker.storage.folder.storage import FolderStorage

_LIMITS = ScanLimits(max_bytes=4 << 30, max_pixels=50_000_000)
_NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
_ARENA_MAX = -8  # of glibc's mallopt: like a child, this process then has one heap
_RESET_PEAK = "5"  # proc(5), clear_refs


@dataclass(frozen=True, slots=True)
class Taken:
    """What one file took: how far the resident memory grew at its peak, and the most budget that the file held."""

    name: str
    way: str
    end: str
    grown_bytes: int
    budget_bytes: int

    @property
    def above_bytes(self) -> int:
        return self.grown_bytes - self.budget_bytes


class _MeasuredBudget(ByteBudget):
    """Records the most bytes that were requested at once, even if they are above the limit."""

    def __init__(self) -> None:
        super().__init__(1 << 30)
        self.held_bytes = self.most_bytes = 0

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        with super().holding(size):
            self.held_bytes += size
            self.most_bytes = max(self.most_bytes, self.held_bytes)
            try:
                yield
            finally:
                self.held_bytes -= size


def measured(files: Iterable[Hostile], folder: Path) -> Iterator[Taken]:
    """Colourize each file into a TIFF in `folder`, with a stand-in for the model, and measure it. Linux only."""
    configure_libraries()
    for name in ("in", "out", "scratch"):
        (folder / name).mkdir()
    for number, file in enumerate(files):
        name = f"{number:05}.{file.extension}"
        (folder / "in" / name).write_bytes(file.data)
        yield _measure(folder, name, file.way)
        (folder / "in" / name).unlink()


def _measure(folder: Path, name: str, way: str) -> Taken:
    budget = _MeasuredBudget()
    source, destination = FolderStorage(folder / "in"), FolderStorage(folder / "out")
    pipeline = Pipeline(source, destination, _predict, _LIMITS, budget, folder / "scratch")
    scan = Assignment(name, None, "output.tif", OutputOptions("tiff"), digital_source_type="x", made_at=_NOON)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    before, end = _status_bytes("VmRSS"), "done"
    try:
        pipeline.colorize_scan(scan, ScanMeasurements())
    except ScanError as error:
        end = error.code
    return Taken(name, way, end, _status_bytes("VmHWM") - before, budget.most_bytes)


def _predict(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
    return Prediction(stub_ab(lightness), None, "0123456789ab", wait_ms=1.0, predict_ms=2.0)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.memory", description=__doc__)
    parser.add_argument("--files", type=int, default=2_500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
    with tempfile.TemporaryDirectory(prefix="photochrom-fuzz-") as folder:
        files = [*bombs(), *hostile_files(arguments.files, arguments.seed)]
        taken = sorted(measured(files, Path(folder)), key=lambda each: each.above_bytes, reverse=True)
    for each in [*taken[:10], max(taken, key=lambda each: each.grown_bytes)]:
        print(
            f"{each.above_bytes / 1e6:+7.0f} MB above its budget: {each.name} took {each.grown_bytes / 1e6:.0f} MB of "
            f"{each.budget_bytes / 1e6:.0f} MB ({each.way}, {each.end})"
        )


if __name__ == "__main__":
    main()
