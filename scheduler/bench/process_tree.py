"""Stops, continues and kills a process with all its descendants, and adds up their memory and processor time."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

_KILL_SECONDS = 10.0
_LOOK_SECONDS = 0.05


class ProcessTree:
    """A process and its descendants. They are looked up again at each call, because processes start and end."""

    def __init__(self, pid: int | None) -> None:
        """`pid`: None for a process that is not running."""
        self._pid = pid

    def processes(self) -> list[psutil.Process]:
        """The process first, then its descendants."""
        if self._pid is None:
            return []
        try:
            root = psutil.Process(self._pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def hold_still(self) -> None:
        """Send SIGSTOP to all of them."""
        for process in self.processes():
            _signal(process.suspend)

    def let_go_on(self) -> None:
        """Send SIGCONT to all of them."""
        for process in self.processes():
            _signal(process.resume)

    def kill(self) -> None:
        """Send SIGKILL to all of them and wait until they have ended. Their parents can still read their
        exit status.
        """
        processes = self.processes()
        for process in processes:
            _signal(process.kill)
        deadline = time.monotonic() + _KILL_SECONDS
        while any(map(_runs, processes)) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def cpu_seconds(self) -> float:
        """The processor time of all that are running."""
        return sum(cpu_seconds(process) for process in self.processes())

    def memory_bytes(self) -> float:
        """Resident memory; memory that they share is counted once (PSS) if the system reports it."""
        return sum(_resident(process) for process in self.processes())


def kill(pid: int) -> None:
    """Send SIGKILL to one process, if it is still there."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).send_signal(signal.SIGKILL)


def cpu_seconds(process: psutil.Process) -> float:
    """The processor time of a process, user and system together."""
    with suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


def command_words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it has ended."""
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):  # it ended meanwhile
        send()


def _resident(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", 0) or memory.rss)
    return 0.0
