"""The Celery process: the supervisor starts, watches, restarts and stops it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from worker.supervision.managed_process import ManagedProcess, RestartPolicy
from worker.system.heap import ONE_HEAP

COLD_SECONDS = 2.0  # for a cold shutdown, and for SIGKILL to take effect
# Celery may end if a broker dies at a bad moment. If Celery ends more often than this, the worker gives up.
_POLICY = RestartPolicy(first_pause_seconds=2.0, longest_pause_seconds=2.0, most_ends=10, window_seconds=600.0)


class CeleryProcess:
    """One Celery worker with its prefork children.

    Its environment is this process' own and the variables of `start`.
    """

    def __init__(self, name: str, *, queue: str, children: int, log_level: str) -> None:
        self._command = [
            # With -P and without --app, nothing is imported from the folder in which the worker was started.
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
        """The process id while it is running; otherwise None."""
        return self._process.pid

    def start(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process.start()

    def keep_running(self) -> bool:
        """If it has ended, start it again after a pause. Returns whether it was started now.

        Raises ServiceUnavailable if it ends again and again.
        """
        return self._process.poll()

    def stop(self, deadline: float, meanwhile: Callable[[], None]) -> None:
        """Stop Celery: a warm shutdown, in which draining children end; near `deadline` (of time.monotonic()) a cold
        one; then SIGKILL.

        `meanwhile` is called from time to time. Returns when Celery and its children have ended, because until then a
        child could store a scan.
        """
        warm_seconds = max(0.0, deadline - 2 * COLD_SECONDS - time.monotonic())
        self._process.stop(((signal.SIGTERM, warm_seconds), (signal.SIGQUIT, COLD_SECONDS)), meanwhile, group=True)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            env={**ONE_HEAP, **os.environ, **self._environment},
            # The log goes to standard error. On standard output, Celery writes plain text when it stops, which would be
            # between lines of JSON.
            stdout=subprocess.DEVNULL,
            # Ctrl-C reaches every process in the foreground group, but only the supervisor may decide what to do.
            start_new_session=True,
        )
