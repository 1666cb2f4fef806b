"""Celery as its supervisor sees it: started, watched, started again, stopped."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from worker.errors import ServiceUnavailable
from worker.system.heap import ONE_HEAP
from worker.system.process_names import group_lives

logger = logging.getLogger(__name__)

COLD_SECONDS = 2.0  # for a cold shutdown, and for SIGKILL to take effect
_PAUSE_SECONDS = 2.0
_ENDS, _ENDS_SECONDS = 10, 600.0  # more ends than this in so long a time are no accident
_LOOK_SECONDS, _KILLED_LOOK_SECONDS = 0.2, 0.02


class CeleryProcess:
    """One Celery worker with its prefork children; the environment of its start is added to this process' own."""

    def __init__(self, name: str, *, queue: str, children: int, log_level: str) -> None:
        self._command = [
            # -P, and no --app: nothing is imported from the folder that the worker was started in.
            *(
                sys.executable,
                "-P",
                "-c",
                "from worker.tasks.app import app; import sys; app.worker_main(sys.argv[1:])",
            ),
            *("--quiet", "worker"),
            *("--pool", "prefork", "--concurrency", str(children)),
            *("--hostname", f"celery@{name}", "--queues", queue),
            *("--without-gossip", "--without-mingle", "--loglevel", log_level),
        ]
        self._environment: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at: float | None = None
        self._ends: list[float] = []

    @property
    def was_started(self) -> bool:
        return self._process is not None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env={**ONE_HEAP, **os.environ, **self._environment},
            # The log goes to standard error; here Celery says that it stops, as bare text between lines of JSON.
            stdout=subprocess.DEVNULL,
            # Ctrl-C reaches the whole foreground group; only the supervisor decides what it means.
            start_new_session=True,
        )

    def keep_running(self) -> bool:
        """Start it again, after a pause, when it ended: it may lose its footing when a broker dies at the wrong moment.

        Returns whether it was started just now. Raises ServiceUnavailable when it ends again and again.
        """
        if self._process is None or self._process.poll() is None:
            return False
        now = time.monotonic()
        if self._ended_at is None:
            self._note_end(now, self._process.returncode)
        elif now >= self._ended_at + _PAUSE_SECONDS:
            self._ended_at = None
            self._start()
            return True
        return False

    def stop(self, deadline: float, meanwhile: Callable[[], None]) -> None:
        """A warm shutdown, in which draining children end; near `deadline` (of time.monotonic()) a cold one; SIGKILL.

        `meanwhile` is called now and then until Celery has ended. Returns when its children have ended, too; a child
        that the system can't end at once, as it waits for a disk, is waited for no longer than two seconds.
        """
        for number, until in (
            (signal.SIGTERM, deadline - 2 * COLD_SECONDS),
            (signal.SIGQUIT, deadline - COLD_SECONDS),
            (signal.SIGKILL, deadline),
        ):
            if self._process is not None and self.runs:
                self._process.send_signal(number)
            while self.runs and time.monotonic() < until:
                meanwhile()
                time.sleep(_LOOK_SECONDS)
        self._end_children(max(deadline, time.monotonic() + COLD_SECONDS))

    def _end_children(self, deadline: float) -> None:
        """Kill the children that outlive Celery, and wait until they are gone: until then they could store a scan."""
        if self._process is None or not group_lives(self._process.pid):
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while group_lives(self._process.pid) and time.monotonic() < deadline:
            time.sleep(_KILLED_LOOK_SECONDS)

    def _note_end(self, now: float, status: int) -> None:
        self._ended_at = now
        self._ends = [*(each for each in self._ends if each > now - _ENDS_SECONDS), now]
        if len(self._ends) > _ENDS:
            raise ServiceUnavailable(f"Celery ended {len(self._ends)} times by itself; see its log above")
        logger.warning("Celery ended with status %d; it is started again", status)
