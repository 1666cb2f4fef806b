"""Processes that must not outlive the one that started them."""

import os
import signal
import threading
import time

_LOOK_EVERY_SECONDS = 0.5


def end_with_parent(parent_pid: int | None = None, *, grace_seconds: float = 10.0) -> None:
    """From now on, this process ends within about a second of its parent, however the parent went.

    It gets SIGTERM first, so that it can finish what it has in hand, and is killed after `grace_seconds`.
    `parent_pid` closes the gap between fork and this call: a parent that is gone already counts as gone.

    A thread that looks at getppid(), because that works everywhere: Linux's PR_SET_PDEATHSIG fires when the
    *thread* that started us ends, and a supervisor may well do so from a thread of its own; a pipe held by
    the parent stays open in every child that the parent has forked since.
    """
    expected = os.getppid() if parent_pid is None else parent_pid
    threading.Thread(target=_watch, args=(expected, grace_seconds), name="parent-watch", daemon=True).start()


def _watch(parent_pid: int, grace_seconds: float) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
