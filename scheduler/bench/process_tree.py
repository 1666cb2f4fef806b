"""A process and all that it has started: stopped and continued together, their memory and processor time added up."""

import signal
from collections.abc import Callable
from contextlib import suppress

import psutil


class ProcessTree:
    """The processes are looked up anew at each call, since they come and go. One that has ended counts nothing."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def processes(self) -> list[psutil.Process]:
        """The process first, then its descendants."""
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
        """Send SIGKILL to all of them, and wait until they are gone."""
        processes = self.processes()
        for process in processes:
            _signal(process.kill)
        psutil.wait_procs(processes, timeout=10)

    def cpu_seconds(self) -> float:
        """The processor time of all that live."""
        return sum(cpu_seconds(process) for process in self.processes())

    def memory_bytes(self) -> float:
        """Resident memory; what they share is counted once (PSS), where the system tells it."""
        return sum(_resident(process) for process in self.processes())


def kill(pid: int) -> None:
    """Send SIGKILL to one process, if it is still there."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).send_signal(signal.SIGKILL)


def cpu_seconds(process: psutil.Process) -> float:
    """Its processor time, of the user and of the system."""
    with suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


def command_words(process: psutil.Process) -> list[str]:
    """Its command line; empty where it has ended."""
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):  # it ended meanwhile
        send()


def _resident(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", 0) or memory.rss)
    return 0.0
