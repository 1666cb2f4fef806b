"""A few processes that make pictures. Each works on one request at a time, and is killed if that takes too long."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from worker.errors import ScanError, ServiceUnavailable
from worker.settings.settings import secret_variables

WAITING_MOST = 256  # requests; further ones are refused for the moment
_DIED = "the picture can't be made: the file crashed its decoder, or needs more memory than a page may use"


class PicturePool:
    """`await run(request)`; the processes start when they are first needed."""

    def __init__(self, processes: int, *, memory_bytes: int, seconds: float) -> None:
        self._seconds = seconds
        self._children = [_Child(memory_bytes) for _ in range(processes)]
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


class _Child:
    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(self, request: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            try:
                connection = self._running()
                connection.send_bytes(json.dumps(request).encode())
                if not connection.poll(seconds):
                    raise ScanError("too_large", f"the picture took longer than {seconds:g} s to make", permanent=True)
                answer: dict[str, Any] = json.loads(connection.recv_bytes())
                content = connection.recv_bytes()
            except (EOFError, OSError):
                self._kill()
                raise ScanError("unreadable", _DIED, permanent=True) from None
            except ScanError:
                self._kill()
                raise
        if "error" in answer:
            raise ScanError(str(answer["error"]), str(answer["message"]), permanent=True)
        return answer, content

    def stop(self) -> None:
        """End the processes. This does not wait for the lock, so open requests get no answer."""
        self._kill()

    def _running(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self._kill()
        if self._connection is None:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", "scheduler.web.pictures.child", str(theirs.fileno())]
                self._process = subprocess.Popen(
                    command,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._connection = Connection(ours.detach())
            self._connection.send_bytes(json.dumps({"memory_bytes": self._memory_bytes}).encode())
        return self._connection

    def _kill(self) -> None:
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.wait()
