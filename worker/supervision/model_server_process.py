"""The model server's process: the supervisor starts, watches, restarts and stops it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

from worker.errors import CheckpointError, ServiceUnavailable
from worker.inference.client import hello, stats
from worker.inference.connection import ServerInfo
from worker.settings.model_options import ModelOptions
from worker.supervision.managed_process import ManagedProcess

logger = logging.getLogger(__name__)

_WRONG_USE = 2  # the server's exit status
_LOOK_EVERY_SECONDS, _LOOK_SECONDS = 2.0, 1.0


class ModelServerProcess:
    """One model server in a separate process, used by one thread of the worker's main process.

    environment: its environment variables; None means this process' own. write: gets each line that the server writes
    to standard error. It must not use sys.stderr, because the worker forks, and a child must not inherit a lock that is
    held. hangs_after_seconds: the server is killed and started again if a batch is on its device this long, or if it
    does not answer for this long. ready_seconds: the same limit while it loads a model: at its start, or because a job
    asks for another embedding. command: for tests, run this instead of `python -m worker.inference.server`.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        options: ModelOptions,
        *,
        log_format: str = "text",
        hangs_after_seconds: float = 60.0,
        ready_seconds: float = 300.0,
        environment: Mapping[str, str] | None = None,
        write: Callable[[bytes], object] = lambda line: os.write(2, line),
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "worker.inference.server"),
    ) -> None:
        self.socket_path = os.fspath(socket_path)
        self._environment, self._write = environment, write
        self._hangs_after_seconds, self._ready_seconds = hangs_after_seconds, ready_seconds
        self._command = [*command, "--socket", self.socket_path, "--log-format", log_format, *options.arguments()]
        self._process = ManagedProcess("the model server", self._spawn, ended=self._check_end)
        self._errors: _ErrorStream | None = None
        self._asked_at = 0.0
        self._is_ready = False
        self._silent_since: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs; otherwise None."""
        return self._process.pid

    @property
    def restarts(self) -> int:
        return self._process.restarts

    def start(self) -> None:
        """Start the server and return at once; see `wait_ready`."""
        self._process.start()

    def poll(self) -> None:
        """Start the server again if it has died, after a growing pause; end it if it hangs.

        Call it about every second. If the server does not answer, it may take a second.

        Raises CheckpointError, with the server's message, if it can't run with this checkpoint.
        """
        self._process.poll()
        if self.pid is not None and time.monotonic() >= self._asked_at + _LOOK_EVERY_SECONDS:
            self._end_if_it_hangs()

    def wait_ready(self, timeout_seconds: float) -> ServerInfo:
        """Wait until the server answers. Raises CheckpointError, and ServiceUnavailable after `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self.poll()
            try:
                info = hello(self.socket_path, 1.0)
                self._is_ready = True
                return info
            except ServiceUnavailable:
                if time.monotonic() >= deadline:
                    raise ServiceUnavailable(f"the model server was not ready within {timeout_seconds:g} s") from None
            time.sleep(0.05)

    def stop(self, kill_after_seconds: float = 10.0) -> None:
        """Stop the server: SIGTERM, and SIGKILL if it still runs `kill_after_seconds` later."""
        self._process.stop(((signal.SIGTERM, kill_after_seconds),))
        self._last_line()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*self._command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=None if self._environment is None else dict(self._environment),
            # Ctrl-C in a terminal must reach only the worker, which then stops the server properly.
            start_new_session=True,
        )
        self._errors = _ErrorStream(process, self._write)
        self._asked_at, self._is_ready, self._silent_since = time.monotonic(), False, None
        return process

    def _end_if_it_hangs(self) -> None:
        asked_at = time.monotonic()
        busy_seconds = loading_seconds = 0.0
        try:
            counts = stats(self.socket_path, _LOOK_SECONDS)
            busy_seconds, loading_seconds = counts["predicting_seconds"], counts["loading_seconds"]
            self._is_ready, self._silent_since = True, None
        except ServiceUnavailable:
            # Counted from the first request without an answer, because before that this process itself may have been
            # delayed.
            self._silent_since = self._silent_since or asked_at
        self._asked_at = time.monotonic()
        silent_seconds = self._asked_at - (self._silent_since or self._asked_at)
        longest_silence = self._hangs_after_seconds if self._is_ready else self._ready_seconds
        if busy_seconds > self._hangs_after_seconds:
            logger.error("the model server has had a batch on its device for %.0f s: it is killed", busy_seconds)
            self._process.send_signal(signal.SIGKILL)
        elif loading_seconds > self._ready_seconds:
            logger.error("the model server has loaded an embedding for %.0f s: it is killed", loading_seconds)
            self._process.send_signal(signal.SIGKILL)
        elif silent_seconds > longest_silence:
            logger.error("the model server has not answered for %.0f s: it is killed", silent_seconds)
            self._process.send_signal(signal.SIGKILL)

    def _check_end(self, status: int) -> None:
        last_line = self._last_line()
        if status == _WRONG_USE:
            raise CheckpointError(last_line or "the model server refused its checkpoint")

    def _last_line(self) -> str:
        errors, self._errors = self._errors, None
        return errors.last_line() if errors else ""


class _ErrorStream:
    """Passes a process' standard error on line by line, and remembers the last line."""

    def __init__(self, process: "subprocess.Popen[bytes]", write: Callable[[bytes], object]) -> None:
        self._write = write
        assert process.stderr is not None
        self._stream = process.stderr
        self._last = b""
        self._thread = threading.Thread(target=self._pass_on, name="model-server-errors", daemon=True)
        self._thread.start()

    def last_line(self) -> str:
        """The last line. Call it after the process has ended."""
        self._thread.join(1.0)
        return self._last.decode(errors="replace").strip()

    def _pass_on(self) -> None:
        with self._stream:
            for line in self._stream:
                self._last = line if line.strip() else self._last
                self._write(line)
