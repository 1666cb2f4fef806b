"""Temporary files for sending a store's file to a browser. They are always removed."""

import tempfile
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from worker.storage import Storage


class TemporaryFileResponse(FileResponse):
    """Removes its file when sending ends in any way, also if the request's Range is invalid."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)


def fetched(storage: Storage, key: str, *, etag: str | None, max_bytes: int) -> Path:
    """Fetch a file of `storage` into a temporary file, for a TemporaryFileResponse.

    Raises ScanError, ServiceUnavailable.
    """
    with tempfile.NamedTemporaryFile(prefix="photochrom-file-", delete=False) as scratch:
        path = Path(scratch.name)
    try:
        storage.fetch(key, path, etag=etag, max_bytes=max_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
