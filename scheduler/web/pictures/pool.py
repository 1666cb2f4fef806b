"""A few processes that make pictures. Each works on one request at a time, and is killed if that takes too long."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from worker.errors import PhotochromError, ScanError, ServiceUnavailable
from worker.settings.settings import secret_variables

WAITING_MOST = 256  # requests; further ones are refused for the moment
_DIED = "the picture can't be made: the file crashed its decoder, or needs more memory than a page may use"


class PicturePool:
    """`await run(request)`; the processes start when they are first needed.

    Each has its own folder in `scratch`, where it writes files of at most `file_bytes`.
    """

    def __init__(self, processes: int, *, memory_bytes: int, seconds: float, scratch: Path, file_bytes: int) -> None:
        self._seconds = seconds
        limits = {"memory_bytes": memory_bytes, "file_bytes": file_bytes, "seconds": seconds}
        self._children = [_Child(limits, scratch / f"process-{number}") for number in range(processes)]
        self._idle: asyncio.Queue[_Child] | None = None
        self._waiting = 0

    async def run(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Returns the answer, and the content if there is one.

        Raises ScanError, and ServiceUnavailable if too many requests wait.
        """
        if self._waiting >= WAITING_MOST:
            raise ServiceUnavailable("too many pictures are being made; try again in a few seconds")
        idle = self._idle_children()
        self._waiting += 1
        try:
            child = await idle.get()
        finally:
            self._waiting -= 1
        # Shielded: if somebody leaves the page, the process must still finish its answer.
        return await asyncio.shield(asyncio.ensure_future(self._ask(child, idle, request)))

    async def _ask(
        self, child: "_Child", idle: "asyncio.Queue[_Child]", request: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        try:
            return await asyncio.to_thread(child.ask, request, self._seconds)
        finally:
            idle.put_nowait(child)

    def _idle_children(self) -> "asyncio.Queue[_Child]":
        if self._idle is None:
            self._idle = asyncio.Queue()
            for child in self._children:
                self._idle.put_nowait(child)
        return self._idle

    def stop(self) -> None:
        for child in self._children:
            child.stop()


def _environment() -> dict[str, str]:
    """The environment without settings that are secrets.

    AWS' variables stay, because pictures of S3 jobs are read from S3.
    """
    names = set(secret_variables())
    return {name: value for name, value in os.environ.items() if name not in names}


def _received(connection: Connection, seconds: float) -> tuple[dict[str, Any], bytes]:
    """The answer and its content. Raises ScanError after `seconds`, with another code if the store was slow."""
    deadline, code, verb = time.monotonic() + seconds, "storage_unavailable", "fetch"
    while connection.poll(max(0.0, deadline - time.monotonic())):
        answer: dict[str, Any] = json.loads(connection.recv_bytes())
        if not answer.get("fetched"):
            return answer, connection.recv_bytes()
        code, verb = "too_large", "make"
    raise ScanError(code, f"the picture took longer than {seconds:g} s to {verb}", permanent=True)


class _Child:
    """`scratch`: the folder of this process. It is emptied at the start of the process, and when it has ended."""

    def __init__(self, limits: Mapping[str, Any], scratch: Path) -> None:
        self._limits, self._scratch = limits, scratch
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(self, request: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            try:
                answer, content = _received(self._send(request), seconds)
            except (EOFError, OSError):
                self._kill()
                raise ScanError("unreadable", _DIED, permanent=True) from None
            except PhotochromError:
                self._kill()
                raise
        if "error" in answer:
            raise ScanError(str(answer["error"]), str(answer["message"]), permanent=True)
        return answer, content

    def stop(self) -> None:
        """End the processes. This does not wait for the lock, so open requests get no answer."""
        self._kill()

    def _send(self, request: Mapping[str, Any]) -> Connection:
        """Raises ServiceUnavailable if no process can be started: no file is at fault."""
        try:
            connection = self._running()
            connection.send_bytes(json.dumps(request).encode())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ServiceUnavailable(f"no picture can be made now ({reason}); try again in a minute") from None
        return connection

    def _running(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self._kill()
        if self._connection is None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", "scheduler.web.pictures.child", str(theirs.fileno())]
                self._process = subprocess.Popen(
                    command,
                    env=_environment() | {"TMPDIR": str(self._scratch)},  # libraries write files of their own
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._connection = Connection(ours.detach())
            self._connection.send_bytes(json.dumps({**self._limits, "scratch": str(self._scratch)}).encode())
        return self._connection

    def _kill(self) -> None:
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.wait()
            # A killed process leaves what it worked on: a whole scan, and perhaps the same scan unpacked.
            shutil.rmtree(self._scratch, ignore_errors=True)
