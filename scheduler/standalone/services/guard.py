"""Runs one command, and ends it when the process that started the guard is gone, even after a kill -9.

    python guard.py PARENT_PID UID:GID COMMAND...      (UID:GID is "-" for the present user)

It is started by its path with `python -S`, which takes about 20 ms, and imports only the standard library. SIGTERM and
SIGINT are passed on, and SIGUSR1 is passed on as SIGKILL. On Linux the kernel kills the command if the guard itself is
killed.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1
# SIGKILL can't be passed on, so SIGUSR1 asks for it. The guard then also reaps the command, which the first process of
# a container may not do.
_PASSED_ON = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGINT,
    signal.SIGUSR1: signal.SIGKILL,
}
_POLL_SECONDS = 0.2  # pause between two checks whether the parent still exists
_STOP_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Run the command. Returns its exit status, or 128 + the signal's number if a signal ended it."""
    parent, owner, command = int(arguments[0]), arguments[1], arguments[2:]
    # Signals wait until the command has started.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = _start(command, owner)
    woken = _wake_at_signals(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    while child.poll() is None:
        if os.getppid() != parent:
            _stop(child)
        elif select.select([woken], [], [], _POLL_SECONDS)[0]:
            os.read(woken, 64)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _wake_at_signals(child: subprocess.Popen[bytes]) -> int:
    """Pass signals on to the command.

    Returns a file descriptor that becomes readable after a signal and when the command ends.
    """

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(_PASSED_ON[signal.Signals(number)])

    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    return woken


def _start(command: list[str], owner: str) -> subprocess.Popen[bytes]:
    if owner == "-":
        return subprocess.Popen(command, preexec_fn=_prepare_child)
    user, group = (int(number) for number in owner.split(":"))
    return subprocess.Popen(command, user=user, group=group, extra_groups=[], preexec_fn=_prepare_child)


def _prepare_child() -> None:
    """Runs between fork and exec, which is safe because the guard has one thread."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop(child: subprocess.Popen[bytes]) -> None:
    # For every service SIGINT means to stop at once. At a SIGTERM, PostgreSQL would wait for its clients.
    child.send_signal(signal.SIGINT)
    end = time.monotonic() + _STOP_SECONDS
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    child.kill()
    child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
