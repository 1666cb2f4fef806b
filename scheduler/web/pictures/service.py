"""Pictures for the pages, from the cache or newly made.

If many people request a picture at the same time, it is made once.
"""

import asyncio
import shutil
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scheduler.web.pictures.cache import DiskCache
from scheduler.web.pictures.files import PictureFile
from scheduler.web.pictures.pool import PicturePool
from worker.error_codes import OF_THE_SCAN
from worker.errors import ScanError
from worker.settings.settings import Settings
from worker.system.temp_folders import own_folder

_PYRAMIDS_REMEMBERED = 256
FAILURE_SECONDS = 600.0  # for so long a picture that could not be made is not tried again
_FAILURES_REMEMBERED = 4_096
_UNPACKED_PIXEL_BYTES = 8  # RGB with alpha, in 16 bits


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The file of a pyramid of tiles, and (width, height) of its levels, the whole picture first."""

    path: Path
    levels: list[tuple[int, int]]


class Pictures:
    """`folder`: for the cache, and for files while pictures are made from them.

    Call `stop` in the end: it ends the processes, and removes these files. What a killed process left is removed by the
    next one with the same folder.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.cache = DiskCache(folder / "cache", settings.web_cache_bytes)
        shutil.rmtree(folder / "scratch", ignore_errors=True)  # earlier versions left whole scans there
        self._held = ExitStack()
        scratch = self._held.enter_context(own_folder("scratch-", folder))
        self._pool = PicturePool(
            settings.web_picture_processes,
            memory_bytes=settings.web_picture_memory_bytes,
            seconds=settings.web_picture_seconds,
            scratch=scratch,
            file_bytes=max(settings.max_scan_bytes, _UNPACKED_PIXEL_BYTES * settings.max_scan_pixels),
        )
        self._common = {
            "s3": asdict(settings.s3_options),
            "limits": {
                "max_bytes": settings.max_scan_bytes,
                "max_pixels": settings.max_scan_pixels,
                "max_pages": settings.max_scan_pages,
            },
        }
        self._making: dict[str, asyncio.Future[Path]] = {}
        self._failures = _Failures()
        self._levels: dict[str, list[tuple[int, int]]] = {}

    async def thumbnail(self, file: PictureFile, size: str) -> Path:
        """`size`: small or large. Raises ScanError, ServiceUnavailable."""
        name = f"{file.name}-{size}.jpg"
        return await self._made(name, lambda part: self._make("thumbnail", file, part, size=size))

    async def pyramid(self, file: PictureFile) -> Pyramid:
        """Raises as `thumbnail`."""
        name = f"{file.name}.tif"
        path = await self._made(name, lambda part: self._make("pyramid", file, part))
        if name not in self._levels:
            answer, _ = await self._pool.run({"task": "levels", "path": str(path)})
            if len(self._levels) >= _PYRAMIDS_REMEMBERED:
                self._levels.clear()
            self._levels[name] = [(int(width), int(height)) for width, height in answer["levels"]]
        return Pyramid(path, self._levels[name])

    async def tile(self, file: PictureFile, level: int, column: int, row: int) -> bytes:
        """One tile as JPEG. Raises as `thumbnail`, and ScanError if there is no such tile."""
        path = await self._made(f"{file.name}.tif", lambda part: self._make("pyramid", file, part))
        place = {"path": str(path), "level": level, "column": column, "row": row}
        _, content = await self._pool.run({"task": "tile", **place})
        return content

    def stop(self) -> None:
        self._pool.stop()
        self._held.close()

    async def _made(self, name: str, make: Callable[[Path], Awaitable[Any]]) -> Path:
        if path := await asyncio.to_thread(self.cache.get, name):
            return path
        if error := self._failures.get(name):
            raise error
        if name in self._making:
            return await asyncio.shield(self._making[name])
        making = asyncio.ensure_future(self._make_and_keep(name, make))
        self._making[name] = making
        making.add_done_callback(lambda _: self._making.pop(name, None))
        return await asyncio.shield(making)

    async def _make_and_keep(self, name: str, make: Callable[[Path], Awaitable[Any]]) -> Path:
        part = await asyncio.to_thread(self.cache.new_part)
        try:
            await make(part)
            return await asyncio.to_thread(self.cache.put, name, part)
        except ScanError as error:
            self._failures.add(name, error)
            raise
        finally:
            part.unlink(missing_ok=True)

    async def _make(self, task: str, file: PictureFile, part: Path, **more: str) -> None:
        where = {"uri": file.uri, "key": file.key, "etag": file.etag, "target": str(part)}
        await self._pool.run({"task": task, "is_source": file.is_source, **where, **self._common, **more})


class _Failures:
    """Why pictures could not be made, for FAILURE_SECONDS. Without it, each view would keep a process busy again.

    Only a fault of the file itself is remembered, because others may pass at any moment. A name changes with the file's
    version, so another file is tried at once.
    """

    def __init__(self) -> None:
        self._errors: OrderedDict[str, tuple[float, ScanError]] = OrderedDict()

    def get(self, name: str) -> ScanError | None:
        until, error = self._errors.get(name, (0.0, None))
        if error is None or time.monotonic() >= until:
            return None
        return error.with_traceback(None)

    def add(self, name: str, error: ScanError) -> None:
        if error.code not in OF_THE_SCAN:
            return
        self._errors[name] = time.monotonic() + FAILURE_SECONDS, error
        self._errors.move_to_end(name)
        if len(self._errors) > _FAILURES_REMEMBERED:
            self._errors.popitem(last=False)
