"""Celery as its supervisor sees it: started, watched, started again, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from worker.supervision.managed_process import ManagedProcess, RestartPolicy
from worker.system.heap import ONE_HEAP

COLD_SECONDS = 2.0  # for a cold shutdown, and for SIGKILL to take effect
# It may lose its footing when a broker dies at the wrong moment; more ends than these are no accident.
_POLICY = RestartPolicy(first_pause_seconds=2.0, longest_pause_seconds=2.0, most_ends=10, window_seconds=600.0)


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
        self._process = ManagedProcess("Celery", self._spawn, _POLICY)

    @property
    def was_started(self) -> bool:
        return self._process.was_started

    @property
    def pid(self) -> int | None:
        """Its process id while it is running."""
        return self._process.pid

    def start(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process.start()

    def keep_running(self) -> bool:
        """Start it again, after a pause, when it ended; whether it was started just now.

        Raises ServiceUnavailable when it ends again and again.
        """
        return self._process.poll()

    def stop(self, deadline: float, meanwhile: Callable[[], None]) -> None:
        """A warm shutdown, in which draining children end; near `deadline` (of time.monotonic()) a cold one; SIGKILL.

        `meanwhile` is called now and then until Celery has ended. Returns when its children have ended, too: until
        then they could store a scan.
        """
        warm_seconds = max(0.0, deadline - 2 * COLD_SECONDS - time.monotonic())
        self._process.stop(((signal.SIGTERM, warm_seconds), (signal.SIGQUIT, COLD_SECONDS)), meanwhile, group=True)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            env={**ONE_HEAP, **os.environ, **self._environment},
            # The log goes to standard error; here Celery says that it stops, as bare text between lines of JSON.
            stdout=subprocess.DEVNULL,
            # Ctrl-C reaches the whole foreground group; only the supervisor decides what it means.
            start_new_session=True,
        )
