"""Ends a process when the process that started it ends."""

import os
import signal
import threading
import time

_LOOK_EVERY_SECONDS = 0.5


def end_with_parent(parent_pid: int | None = None, *, grace_seconds: float = 10.0) -> None:
    """From now on, this process ends within about a second after its parent, even if the parent was killed.

    It first gets SIGTERM, so that it can finish its work, and is killed after `grace_seconds`. With `parent_pid`, it
    also notices a parent that ended before this call.

    A thread calls getppid() again and again, because this works everywhere. Linux's PR_SET_PDEATHSIG fires already when
    the *thread* that started this process ends. And a pipe of the parent stays open in every other child that the
    parent has forked since.
    """
    expected = os.getppid() if parent_pid is None else parent_pid
    threading.Thread(target=_watch, args=(expected, grace_seconds), name="parent-watch", daemon=True).start()


def _watch(parent_pid: int, grace_seconds: float) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
