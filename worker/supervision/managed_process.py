"""A child process: starts, watches, restarts and stops it."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from worker.errors import ServiceUnavailable
from worker.system.process_names import group_lives

logger = logging.getLogger(__name__)

_LOOK_SECONDS, _KILLED_LOOK_SECONDS = 0.05, 0.02
_KILL_SECONDS = 2.0  # for SIGKILL to take effect


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to start a process again that ended by itself, and when to give up.

    The pause before a start doubles each time. After a process has run for `steady_seconds`, it is the first pause
    again.
    """

    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 10.0
    steady_seconds: float = 30.0
    most_ends: int | None = None  # give up after more ends than this within `window_seconds`; None: never
    window_seconds: float = 600.0


class ManagedProcess:
    """One process, used by one thread.

    name: for messages, such as "the model server". spawn: starts it in a new session (`start_new_session`), so that
    Ctrl-C reaches only this process. ended: called with the exit status when the process has ended by itself. If it
    raises, `poll` raises the same, and the process is not started again.
    """

    def __init__(
        self,
        name: str,
        spawn: Callable[[], "subprocess.Popen[bytes]"],
        policy: RestartPolicy = RestartPolicy(),
        *,
        ended: Callable[[int], None] = lambda status: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._spawn, self._policy = name, spawn, policy
        self._ended, self._clock = ended, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._group: int | None = None
        self._started_at = 0.0
        self._start_again_at: float | None = None
        self._pause_seconds = policy.first_pause_seconds
        self._ends: list[float] = []
        self.restarts = 0

    @property
    def was_started(self) -> bool:
        return self._group is not None

    @property
    def pid(self) -> int | None:
        """Its process id while it is running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process and return at once."""
        self._process = self._spawn()
        self._group = self._process.pid
        self._started_at, self._start_again_at = self._clock(), None

    def poll(self) -> bool:
        """If the process has ended and its pause is over, start it again. Returns whether it was started now.

        Raises ServiceUnavailable if it ends again and again, and what `ended` raises.
        """
        if self._process is not None and (status := self._process.poll()) is not None:
            self._process = None
            self._plan_restart(status)
        if self._start_again_at is None or self._clock() < self._start_again_at:
            return False
        self.restarts += 1
        self.start()
        return True

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process is running."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(
        self, signals: Sequence[tuple[int, float]], meanwhile: Callable[[], None] = lambda: None, *, group: bool = False
    ) -> None:
        """Stop the process: send each signal and wait up to its number of seconds; then send SIGKILL.

        It is not started again.

        meanwhile: called from time to time until it has ended. group: also kill the processes that it leaves behind,
        and wait for them. A process that waits for a disk can't end at once, so the wait is at most two seconds.
        """
        self._start_again_at = None
        for number, seconds in (*signals, (signal.SIGKILL, _KILL_SECONDS)):
            self.send_signal(number)
            until = self._clock() + seconds
            while self.pid is not None and self._clock() < until:
                meanwhile()
                time.sleep(_LOOK_SECONDS)
        if group and self._group is not None:
            _kill_group(self._group, self._clock)
        self._process = None

    def _plan_restart(self, status: int) -> None:
        now, policy = self._clock(), self._policy
        self._ended(status)
        self._ends = [*(end for end in self._ends if end > now - policy.window_seconds), now]
        if policy.most_ends is not None and len(self._ends) > policy.most_ends:
            raise ServiceUnavailable(f"{self._name} ended {len(self._ends)} times by itself; see its log above")
        if now - self._started_at > policy.steady_seconds:
            self._pause_seconds = policy.first_pause_seconds
        end = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        pause = f" in {self._pause_seconds:.1f} s" if self._pause_seconds else ""
        logger.warning("%s %s; it is started again%s", self._name, end, pause)
        self._start_again_at = now + self._pause_seconds
        self._pause_seconds = min(self._pause_seconds * 2, policy.longest_pause_seconds)


def _kill_group(group: int, clock: Callable[[], float]) -> None:
    if not group_lives(group):
        return
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    until = clock() + _KILL_SECONDS
    while group_lives(group) and clock() < until:
        time.sleep(_KILLED_LOOK_SECONDS)
