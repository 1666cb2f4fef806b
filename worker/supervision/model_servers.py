"""All model servers of one worker, one for each device."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from worker.errors import UsageError
from worker.inference.client import stats
from worker.inference.connection import ServerInfo
from worker.supervision.model_server_process import ModelServerProcess

logger = logging.getLogger(__name__)

_NOT_ADDED = ("batch_size", "queue_length", "predicting_seconds", "loading_seconds")


class ModelServers:
    """Used by one thread of the worker's main process. Each child is connected to one of the servers.

    only_on_gpus: do not start the other servers if the first one runs on a CPU, because one server uses all of it.
    wanted_gpus: the GPUs that the settings name, if any. Then a server that runs on a CPU is refused.
    """

    def __init__(
        self, servers: Sequence[ModelServerProcess], *, only_on_gpus: bool = False, wanted_gpus: str | None = None
    ) -> None:
        self._servers, self._only_on_gpus, self._wanted_gpus = list(servers), only_on_gpus, wanted_gpus
        self._others_started = len(self._servers) == 1
        self._last: list[dict[str, float]] = [{} for _ in self._servers]
        self._before: list[dict[str, float]] = [{} for _ in self._servers]  # counts of servers that have ended

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def restarts(self) -> int:
        return sum(server.restarts for server in self._servers)

    def start(self) -> None:
        """Start the first server. The others are started in `wait_ready`."""
        self._servers[0].start()

    def poll(self) -> None:
        """ModelServerProcess.poll for each started server. Raises CheckpointError."""
        for server in self._servers if self._others_started else self._servers[:1]:
            server.poll()

    def wait_ready(self, timeout_seconds: float) -> ServerInfo:
        """Wait until all servers answer. Returns the first one's information, with the smallest batch size.

        Raises CheckpointError, ServiceUnavailable, and UsageError if a server does not have the GPU that it must use.
        """
        deadline = time.monotonic() + timeout_seconds
        first = self._servers[0].wait_ready(timeout_seconds)
        self._check(first)
        if not self._others_started:
            self._start_others(first)
        server_infos = [first]
        server_infos += [server.wait_ready(max(0.0, deadline - time.monotonic())) for server in self._servers[1:]]
        for server_info in server_infos:
            self._check(server_info)
        return replace(first, batch_size=min(server_info.batch_size for server_info in server_infos))

    def stop(self, kill_after_seconds: float) -> None:
        """Stop all servers within this time."""
        deadline = time.monotonic() + kill_after_seconds
        for server in self._servers:
            server.stop(kill_after_seconds=max(0.1, deadline - time.monotonic()))

    def counters(self, timeout_seconds: float) -> dict[str, float]:
        """The counters of all present and former servers, added up; `queue_length` of the present ones, and the largest
        `batch_size`.

        Raises ServiceUnavailable if a server does not answer.
        """
        now = [stats(server.socket_path, timeout_seconds) for server in self._servers]
        for last, before, counts in zip(self._last, self._before, now, strict=True):
            if any(
                counts[name] < last.get(name, 0) for name in counts.keys() - set(_NOT_ADDED)
            ):  # the server is a new one
                for name, count in last.items():
                    before[name] = before.get(name, 0.0) + count
            last.update(counts)
        added = {
            name: sum(counts[name] + before.get(name, 0.0) for counts, before in zip(now, self._before, strict=True))
            for name in now[0]
            if name not in _NOT_ADDED
        }
        return {
            **added,
            "queue_length": sum(counts["queue_length"] for counts in now),
            "batch_size": max(counts["batch_size"] for counts in now),
        }

    def _check(self, server_info: ServerInfo) -> None:
        if self._wanted_gpus is not None and server_info.device == "CPU":
            raise UsageError(
                f"PHOTOCHROM_DEVICES is {self._wanted_gpus!r}, but TensorFlow does not find all of these GPUs here; "
                "expected numbers or UUIDs as nvidia-smi -L lists them, or -1 to use the CPU"
            )

    def _start_others(self, first: ServerInfo) -> None:
        if self._only_on_gpus and first.device == "CPU":
            logger.warning("there are %d GPUs, but the model runs on the CPU: one model server", len(self._servers))
            del self._servers[1:], self._last[1:], self._before[1:]
        for server in self._servers[1:]:
            server.start()
        self._others_started = True
