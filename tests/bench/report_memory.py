"""The memory that a scheduler takes while it writes the report of a job whose outputs are hostile or huge.

python -m tests.bench.report_memory

The job's pictures are 20-megapixel JPEG 2000, 144-megapixel progressive JPEG, files with much metadata, damaged files
and files of formats that are not read. The report is written as the scheduler writes it, by `Reporter`, in a process
of its own. Prints the peak resident memory of that process and of those that make the thumbnails, and exits 1 when
the first one is over the limit.
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from multiprocessing.synchronize import Event
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pyvips
from sqlalchemy import select, update

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.session import make_engine, read_scope, session_scope
from scheduler.daemon.report_writer import Reporter
from worker.settings.settings import Settings

LIMIT_MB = 300
LOOK_SECONDS = 0.02
COPIES = 4  # of each huge file, because a report fetches this many pictures at once


def write_outputs(folder: Path) -> list[str]:
    """Write the files, and return their keys. Copies are hard links, which cost no time and no space."""
    folder.mkdir()
    dice = np.random.default_rng(1905)
    huge = {
        "20 megapixels.jp2": _jpeg_2000(dice),
        "144 megapixels, progressive.jpg": _progressive_jpeg(),
    }
    hostile = {
        "80 MB of text in 80 KB.png": _png_with_text(80 << 20),
        "cut in half.jpg": huge["144 megapixels, progressive.jpg"][: len(huge["144 megapixels, progressive.jpg"]) // 2],
        "100,000 by 100,000 pixels.png": _png_of(100_000, 100_000),
        "a drawing.tif": b'<svg xmlns="http://www.w3.org/2000/svg" width="30000" height="30000"/>',
        "noise.tif": dice.bytes(4 << 20),
        "empty.jpg": b"",
    }
    for name, content in {**huge, **hostile}.items():
        (folder / name).write_bytes(content)
    copies = [f"{number} {name}" for name in huge for number in range(2, COPIES + 1)]
    for key in copies:
        (folder / key).hardlink_to(folder / key.partition(" ")[2])
    return sorted([*huge, *hostile, *copies])


def _jpeg_2000(dice: np.random.Generator) -> bytes:
    tone = np.linspace(0, 200, 5_000, dtype=np.uint8)[None, :, None] + dice.integers(0, 40, (4_000, 1, 3), np.uint8)
    return bytes(imagecodecs.jpeg2k_encode(tone, level=40, codecformat="jp2", reversible=False))


def _progressive_jpeg() -> bytes:
    """A progressive JPEG, which a decoder holds completely in memory before it returns the first line."""
    return bytes(pyvips.Image.black(12_000, 12_000, bands=3).jpegsave_buffer(interlace=True))


def _png_with_text(size: int) -> bytes:
    small = bytes(pyvips.Image.black(60, 40).pngsave_buffer())
    end = small.index(b"IEND") - 4
    return small[:end] + _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size).replace(b"\0", b"a"))) + small[end:]


def _png_of(width: int, height: int) -> bytes:
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def make_ended_job(url: str, folder: Path, keys: list[str]) -> None:
    """Make a job with a scan for each key. Scans and outputs are the same files, so that both pictures are shown."""
    engine, now = make_engine(url), utc_now() - timedelta(minutes=1)
    upgrade(engine)
    (folder.parent / "out").symlink_to(folder)
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session,
            name="hostile and huge",
            source=str(folder),
            destination=str(folder.parent / "out"),
            options={"format": "source", "quality": 95},
            priority=0,
            now=now,
        )
        lifecycle.add_scans(session, job_id, [NewScan(key, None, 1, key) for key in keys], chunk_scans=64)
        lifecycle.start(session, job_id, other_count=0)
        done = {"state": ScanState.DONE, "width": 5_000, "height": 4_000, "bit_depth": 8, "colourfulness": 20.0}
        session.execute(update(Scan).values(**done, output_sha256="0" * 64, finished_at=now))
        session.execute(update(Chunk).values(state=ChunkState.DONE, done_count=len(keys), started_at=now))
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=now + timedelta(seconds=1))
    engine.dispose()


def report_as_the_scheduler_does(url: str, began: Event, go: Event) -> None:
    """Run one round of the reporter in a separate process, and wait until its report is written."""
    import_module("scheduler.daemon.loop")  # loads everything that a scheduler loads
    engine = make_engine(url)
    with ThreadPoolExecutor(1) as reporting:
        reporter = Reporter(engine, Settings(), reporting)
        began.set()
        go.wait()
        reporter.round()


class Peaks(threading.Thread):
    """The peak resident memory of a process and of the processes that it starts, in MB, read again and again.

    The kernel keeps each process' peak, but getrusage includes the peak from before the process loaded its program.
    """

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.itself = self.children = 0.0

    def run(self) -> None:
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            while True:
                self.itself = max(self.itself, peak_mb(self._process.pid))
                for child in self._process.children():
                    with suppress(FileNotFoundError, ProcessLookupError):
                        self.children = max(self.children, peak_mb(child.pid))
                time.sleep(LOOK_SECONDS)


def peak_mb(pid: int) -> float:
    """The peak memory of a process in MB; 0 if it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.report_memory", description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photochrom-bench-") as name:
        folder, url = Path(name, "scans"), f"sqlite:///{name}/photochrom.db"
        keys = write_outputs(folder)
        make_ended_job(url, folder, keys)
        spawning = multiprocessing.get_context("spawn")
        ready, go = spawning.Event(), spawning.Event()
        process = spawning.Process(target=report_as_the_scheduler_does, args=(url, ready, go))
        process.start()
        assert process.pid is not None
        ready.wait()
        idle, peaks, began = peak_mb(process.pid), Peaks(psutil.Process(process.pid)), time.monotonic()
        peaks.start()
        go.set()
        process.join()
        seconds = time.monotonic() - began
        with read_scope(make_engine(url)) as session:
            key = session.scalars(select(Job.report_key)).one()
        page = folder.parent / "out" / (key or "none")
        pictures = page.read_text(encoding="utf-8").count("data:image/jpeg") if page.is_file() else 0
    print(f"{len(keys)} scans and outputs, report made in {seconds:.0f} s: {key}, {pictures} pictures")
    print(f"scheduler: {idle:.0f} MB before the report, at most {peaks.itself:.0f} MB (limit {LIMIT_MB})")
    print(f"its child that makes thumbnails: at most {peaks.children:.0f} MB")
    return int(peaks.itself >= LIMIT_MB or not key)


if __name__ == "__main__":
    sys.exit(main())
