"""What a child tells its worker of the scans that it has recorded, for the worker's metrics.

Datagrams over a Unix socket in the worker's own folder: Celery's children come and go, and share no memory with the
worker. What is true of a scan is in the job database; these are figures to watch the pool by.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_SCANS_PER_DATAGRAM = 50
_LARGEST_DATAGRAM = 1 << 16
_SEND_SECONDS = 0.5  # a worker that does not listen must not hold up its scans


@dataclass(frozen=True, slots=True)
class ScanEvent:
    """One scan's record, in figures."""

    state: str  # done, failed, skipped; pending: it will be tried again
    code: str  # of its error; empty without one
    pixels: int
    source_bytes: int
    output_bytes: int
    stage_ms: tuple[float | None, ...]  # in the order of Stage; None where it did not come so far


def send(path: Path, events: Sequence[ScanEvent]) -> None:
    """Tell the worker that listens at `path`; one that is gone, or does not listen, is not told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_worker:
        to_worker.settimeout(_SEND_SECONDS)
        for start in range(0, len(events), _SCANS_PER_DATAGRAM):
            body = json.dumps([asdict(event) for event in events[start : start + _SCANS_PER_DATAGRAM]])
            try:
                to_worker.sendto(body.encode(), str(path))
            except OSError as error:
                logger.debug("the worker's metrics miss %d scans: %s", len(events) - start, error)
                return


class ScanEventListener:
    """Calls `count` in a thread of its own for each scan that a child tells of. A context manager."""

    def __init__(self, path: Path, count: Callable[[ScanEvent], None]) -> None:
        self._count = count
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, name="event", daemon=True)

    def __enter__(self) -> "ScanEventListener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)
        self._socket.close()

    def _listen(self) -> None:
        while body := self._socket.recv(_LARGEST_DATAGRAM):
            for event in json.loads(body):
                self._count(ScanEvent(**{**event, "stage_ms": tuple(event["stage_ms"])}))
