"""`python -m tests.bench.web_pictures`: time and memory for a 400-megapixel TIFF's first thumbnail and tiles."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import psutil
import pyvips

from scheduler.web.pictures.files import PictureFile
from scheduler.web.pictures.service import Pictures
from worker.settings.settings import Settings

SIDE = 20_000
MUST_SECONDS, MUST_BYTES = 10.0, 400 << 20


class Children:
    """The peak memory of one of this process' children, read every 0.02 s, and the processor time of all of them."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    async def watch(self) -> None:
        while True:
            for child in psutil.Process().children(recursive=True):
                self.peak_bytes = max(self.peak_bytes, child.memory_info().rss)
            await asyncio.sleep(0.02)

    @staticmethod
    def core_seconds() -> float:
        times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
        return float(sum(taken.user + taken.system for taken in times))


async def measure(pictures: Pictures, folder: Path) -> bool:
    """Returns whether the thumbnail stays within its limits."""
    children = Children()
    watching = asyncio.create_task(children.watch())
    await pictures.thumbnail(PictureFile(str(folder), "small.tif", None, "1"), "small")
    idle = children.peak_bytes
    large = PictureFile(str(folder), "large.tif", None, "1")
    seconds, above = await _timed("first thumbnail", pictures.thumbnail(large, "small"), children, idle)
    await _timed("tiles", pictures.pyramid(large), children, idle)
    watching.cancel()
    return seconds <= MUST_SECONDS and above <= MUST_BYTES


async def _timed(name: str, work: Awaitable[object], children: Children, idle: int) -> tuple[float, int]:
    children.peak_bytes, began, on_core = 0, time.monotonic(), children.core_seconds()
    await work
    seconds, above = time.monotonic() - began, children.peak_bytes - idle
    on_core = children.core_seconds() - on_core
    print(f"{name:16} {seconds:6.2f} s, {on_core:.2f} s on a core, {above / 1e6:.1f} MB above idle", flush=True)
    return seconds, above


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = pyvips.Image.gaussnoise(2_000, 2_000, mean=128, sigma=40).cast("uchar")
        noise.copy(interpretation="b-w").write_to_file(str(folder / "small.tif"))
        noise.replicate(SIDE // 2_000, SIDE // 2_000).copy(interpretation="b-w").tiffsave(str(folder / "large.tif"))
        pictures = Pictures(Settings(), folder / "web")
        try:
            return 0 if asyncio.run(measure(pictures, folder)) else 1
        finally:
            pictures.stop()


if __name__ == "__main__":
    sys.exit(main())
