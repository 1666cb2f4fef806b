"""The processes of one test. A mark in their environment distinguishes them from all others on the machine."""

import uuid

import psutil

from tests.waiting import PATIENCE_SECONDS

MARK = "MARK_OF_A_TEST"  # the variable that holds the mark; child processes inherit it


def new_mark() -> str:
    return uuid.uuid4().hex


def marked_processes(mark: str) -> list[psutil.Process]:
    """The running processes with the mark, even if their parent has changed."""
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def survivors(mark: str) -> list[psutil.Process]:
    """The processes with the mark that are still running after they had time to end."""
    psutil.wait_procs(marked_processes(mark), PATIENCE_SECONDS)
    return marked_processes(mark)


def _mark_of(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):  # it has ended, is a zombie, or belongs to another user
        return None
    return mark
