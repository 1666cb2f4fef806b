"""Makes thumbnails in a separate process, so that no file can fill the scheduler's memory or crash it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scheduler.report.data import Picture
from worker.errors import PhotochromError
from worker.system.heap import ONE_HEAP

WAIT_SECONDS = 40.0
UNREADABLE = "The file exists, but it can't be opened as an image."
TOO_MUCH = "The file exists, but a picture of it needs more memory or time than a report may use."


class NoPicture(PhotochromError):
    """There is no thumbnail; the message says why."""


class ThumbnailProcess:
    """Makes one thumbnail at a time, for any number of threads.

    The process starts with the first picture, and again after a picture that ended it or left it little memory. An end
    is the answer to a hostile file and not a fault of the process. So, unlike a ManagedProcess, it is started again at
    the next picture, without a pause, a warning or a limit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    def thumbnail(self, path: Path) -> Picture:
        """As scheduler.report.thumbnails.data_uri.thumbnail; raises NoPicture."""
        with self._lock:
            answer = self._ask(path)
        if answer is None:
            raise NoPicture(TOO_MUCH)
        if "error" in answer:
            raise NoPicture(str(answer["error"]) or UNREADABLE)
        return Picture(**answer)

    def _ask(self, path: Path) -> dict[str, Any] | None:
        """Ask the process for a thumbnail. Returns None if the process ended."""
        process = self._process = self._process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(WAIT_SECONDS, process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps(str(path)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            self._end()
            return None
        message = json.loads(line)
        if message["is_full"]:
            self._end()
        answer: dict[str, Any] = message["answer"]
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[str]:
    # Without the settings of the database and the stores, because the process that decodes strangers' files needs
    # neither.
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")}
    paths = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-P", "-m", "scheduler.report.thumbnails.child"]
    return subprocess.Popen(
        command,
        env={**kept, **ONE_HEAP, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
