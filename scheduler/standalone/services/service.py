"""The base of every embedded service: a folder, a port, a start that waits until the service answers, and a reliable
stop.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from scheduler.standalone.services import guard
from worker.errors import ServiceUnavailable
from worker.supervision.managed_process import ManagedProcess, RestartPolicy

START_SECONDS = 20.0
STOP_SECONDS = 10.0
KILL_SECONDS = 2.0
_LOG_TAIL_LINES = 3
# These are below the ports that the kernel gives to outgoing connections (from 32768 on), so that a service's port is
# still free when it starts again.
_PORTS = range(15_000, 32_000)


class Service(ABC):
    """A server process on 127.0.0.1, as a context manager.

    After `stop` or `kill`, `start` uses the same port and password again. All its files are in `folder`, the log is
    `folder`/log.
    """

    name: ClassVar[str]  # in errors
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.port = free_port()
        self._process = ManagedProcess(self.name, self._spawn, RestartPolicy(first_pause_seconds=0))

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write the server's files into `folder`, and return its command. Raises ServiceUnavailable."""

    @abstractmethod
    def ask(self) -> None:
        """Ask the server something that it answers only if it is ready. Raises any exception while it is not."""

    def process_environment(self) -> dict[str, str]:
        """The server's environment.

        It may contain passwords, because everybody on the machine can read command lines.
        """
        return dict(os.environ)

    def owner(self) -> tuple[int, int] | None:
        """The user and the group to run as; None for the present ones."""
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process.pid is not None

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises ServiceUnavailable with the last lines of its log if it does not.
        """
        if self.running:
            return
        self._process.start()
        self._wait_until_ready_or_kill()

    def poll(self) -> None:
        """Start it again if it has ended by itself; raises as `start`."""
        if self._process.poll():
            self._wait_until_ready_or_kill()

    def stop(self) -> None:
        """Stop the server; kill it if that takes more than ten seconds."""
        self._end((self.stop_signal, STOP_SECONDS))

    def kill(self) -> None:
        """Kill the server with SIGKILL, like a crash."""
        self._end()

    def _end(self, *signals: tuple[int, float]) -> None:
        # The guard takes SIGUSR1 for SIGKILL. Should it not answer, the whole group is killed.
        self._process.stop((*signals, (signal.SIGUSR1, KILL_SECONDS)), group=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        command, owner = self.prepare(), self.owner()
        user = f"{owner[0]}:{owner[1]}" if owner else "-"
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-S", "-E", str(guard.__file__), str(os.getpid()), user, *command],
                cwd=self.folder,
                env=self.process_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A separate process group, so that `kill` ends guard and server together, and Ctrl-C ends neither.
                start_new_session=True,
            )

    def _wait_until_ready_or_kill(self) -> None:
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask()
            except Exception as error:
                if not self.running or time.monotonic() > end:
                    raise self._not_started() from error
                time.sleep(0.02)
            else:
                if not self.running:  # another server uses the port
                    raise self._not_started()
                return

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _not_started(self) -> ServiceUnavailable:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-_LOG_TAIL_LINES:]
        log_tail = " / ".join(lines) or "its log is empty"
        return ServiceUnavailable(
            f"{self.name} did not start on 127.0.0.1:{self.port}: {log_tail}; its log is {self._log}"
        )


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on now."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServiceUnavailable("no free port on 127.0.0.1 between 15000 and 32000; stop what listens there")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from the beginning."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
