"""Whether a process is alive, and whether it is ready: for /live, /ready and systemd."""

import socket
import threading
import time
from collections.abc import Callable

# A working loop never needs longer for one turn, even if it waits for every service.
SILENT_SECONDS = 60.0


class Health:
    """The process' loop reports here that it runs, and what is wrong. Any thread may ask.

    live: "" while the loop runs; otherwise a sentence, and the process should be started again. ready: "" while the
    process can work; otherwise the reason why it waits.
    """

    def __init__(
        self,
        waits_for: str,
        *,
        notify_socket: str | None = None,
        silent_seconds: float = SILENT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._silent_seconds = clock, silent_seconds
        self._notify_socket = notify_socket
        self._lock = threading.Lock()
        self._turned_at = clock()
        self._problem = waits_for
        self._told_ready = False

    def turn(self, problem: str | None = None) -> None:
        """Record that the loop has run once more. `problem`: what is wrong; "" if nothing is wrong; None if nothing
        changed.
        """
        with self._lock:
            self._turned_at = self._clock()
            self._problem = self._problem if problem is None else problem
        if problem is not None:
            self._tell_systemd(problem)

    def live(self) -> str:
        with self._lock:
            silent = self._clock() - self._turned_at
        return f"its main loop has not run for {silent:.0f} s" if silent > self._silent_seconds else ""

    def ready(self) -> str:
        silent = self.live()
        with self._lock:
            return silent or self._problem

    def _tell_systemd(self, problem: str) -> None:
        """Report to systemd, by the protocol of sd_notify(3)."""
        if not self._notify_socket:
            return
        lines = ["WATCHDOG=1", f"STATUS={problem or 'ready'}"]
        if not problem and not self._told_ready:
            self._told_ready = True
            lines.append("READY=1")
        address = self._notify_socket
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.settimeout(1.0)
            try:
                systemd.sendto("\n".join(lines).encode(), "\0" + address[1:] if address.startswith("@") else address)
            except OSError:
                self._notify_socket = None  # nobody listens there
