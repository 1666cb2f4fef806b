"""Children report the scans that they have recorded to their worker, for its metrics.

Reports are datagrams over a Unix socket in the worker's folder, because Celery's children are replaced and share no
memory with the worker. The truth about a scan is in the job database; these figures are only for monitoring.
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
_SEND_SECONDS = 0.5  # a worker that does not listen must not delay scans


@dataclass(frozen=True, slots=True)
class ScanEvent:
    """The figures of one recorded scan."""

    state: str  # done, failed, skipped; pending: it will be tried again
    code: str  # of its error; empty without one
    pixels: int
    source_bytes: int
    output_bytes: int
    stage_ms: tuple[float | None, ...]  # in the order of Stage; None for stages that the scan did not reach


def send(path: Path, events: Sequence[ScanEvent]) -> None:
    """Send events to the worker that listens at `path`. If it is gone or does not listen, they are dropped."""
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
    """Calls `count` for each reported scan, in a separate thread. A context manager."""

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
