"""Whether a process lives, and whether it is ready: for /live and /ready, and for systemd."""

import socket
import threading
import time
from collections.abc import Callable

# Longer than any one turn of a loop that works, with every service away and each waited for.
SILENT_SECONDS = 60.0


class Health:
    """The process' loop says here that it turns, and what is amiss; any thread may ask.

    live: an empty sentence while the loop turns; otherwise the process should be started again.
    ready: an empty sentence while it does its work; otherwise why not, which it waits for by itself.
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
        """The loop has turned; "" for all is well, None for no news of that."""
        with self._lock:
            self._turned_at = self._clock()
            self._problem = self._problem if problem is None else problem
        if problem is not None:
            self._tell_systemd(problem)

    def live(self) -> str:
        with self._lock:
            silent = self._clock() - self._turned_at
        return f"its loop has not turned for {silent:.0f} s" if silent > self._silent_seconds else ""

    def ready(self) -> str:
        silent = self.live()
        with self._lock:
            return silent or self._problem

    def _tell_systemd(self, problem: str) -> None:
        """The protocol of sd_notify(3)."""
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
