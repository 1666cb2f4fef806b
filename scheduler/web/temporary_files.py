"""Temporary files for sending a store's file to a browser. They are always removed, and bounded in sum."""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from worker.errors import ServiceUnavailable
from worker.storage import Storage


class Downloads:
    """Fetches files of stores, and keeps each until it is sent: at most `most_bytes` together, or one larger file."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._bytes = 0

    def fetch(self, storage: Storage, key: str, *, etag: str | None, max_bytes: int) -> "TemporaryFile":
        """Fetch a file of `storage`, for a TemporaryFileResponse.

        Raises ScanError, and ServiceUnavailable if too much is being sent already.
        """
        entry = storage.stat(key)
        size = min(entry.bytes, max_bytes) if entry else 0
        self._take(size)
        try:
            with tempfile.NamedTemporaryFile(prefix="photochrom-file-", delete=False) as scratch:
                file = TemporaryFile(Path(scratch.name), self, size)
        except BaseException:
            self.give_back(size)
            raise
        try:
            # A file that grew meanwhile is refused, because only its earlier size is counted.
            storage.fetch(
                key, file.path, etag=etag, max_bytes=size if entry and entry.bytes <= max_bytes else max_bytes
            )
        except BaseException:
            file.remove()
            raise
        return file

    def _take(self, size: int) -> None:
        with self._lock:
            if self._bytes and self._bytes + size > self._most_bytes:
                raise ServiceUnavailable("too many files are being downloaded; try again in a minute")
            self._bytes += size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._bytes -= size


class TemporaryFile:
    """A fetched file. It counts until it is removed."""

    def __init__(self, path: Path, downloads: Downloads, size: int) -> None:
        self.path, self._downloads, self._size = path, downloads, size

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._downloads.give_back(self._size)


class TemporaryFileResponse(FileResponse):
    """Removes its file when sending ends in any way, also if the request's Range is invalid."""

    def __init__(self, file: TemporaryFile, *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(file.path, media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.remove()
