"""A test's own processes, told from all others on the machine by a mark in their environment."""

import uuid

import psutil

from tests.waiting import PATIENCE_SECONDS

MARK = "MARK_OF_A_TEST"  # the variable that holds it; what a process starts inherits it


def new_mark() -> str:
    return uuid.uuid4().hex


def marked_processes(mark: str) -> list[psutil.Process]:
    """The processes with the mark that are running, whatever their parent is now."""
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def survivors(mark: str) -> list[psutil.Process]:
    """The processes with the mark that still run after they had time to end."""
    psutil.wait_procs(marked_processes(mark), PATIENCE_SECONDS)
    return marked_processes(mark)


def _mark_of(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):  # ended, a zombie, or somebody else's
        return None
    return mark
