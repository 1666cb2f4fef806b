"""A real system whose workers can be stopped and continued, so that the other side of a comparison can have
its turns.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from scheduler.bench.rates import Line
from scheduler.standalone.system import System
from scheduler.submission.submitter import Submission, Submitter
from worker.errors import ServiceUnavailable
from worker.inference.client import stats
from worker.storage import S3Options, open_storage, parse_location

BUCKET = "photochrom-bench"
SOURCE = f"s3://{BUCKET}/scans"
_LOOK_SECONDS = 0.05  # these looks run on the measured cores, so they are rare


class Pool:
    """S3 in, S3 out, SQLite, Valkey, a scheduler, and workers by name; a context manager.

    A worker is stopped with SIGSTOP and continued later. Keep turns much shorter than a lease.
    """

    def __init__(self, folder: Path, *, chunk_scans: int) -> None:
        self._folder, self._chunk_scans = folder, chunk_scans
        self.system = System(folder, with_s3=True)
        self._pids: dict[str, int] = {}
        self._sockets: dict[str, str] = {}  # of the model servers
        self._prefixes = 0

    def __enter__(self) -> "Pool":
        self.system.__enter__()
        assert self.system.s3 is not None
        self.system.s3.client().create_bucket(Bucket=BUCKET)
        self.system.adopt()
        self.system.start("scheduler")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._pids:
            self.let_go_on(name)
        self.system.__exit__()

    @property
    def s3(self) -> S3Options:
        assert self.system.s3 is not None
        return S3Options(endpoint_url=self.system.s3.endpoint_url)

    def put(self, paths: Sequence[Path], count: int) -> list[str]:
        """Put scans into the source, the same ones again under other keys until there are `count`; their keys."""
        source = open_storage(parse_location(SOURCE), s3=self.s3)
        keys = [f"{number:06}{paths[number % len(paths)].suffix}" for number in range(count)]
        for number, key in enumerate(keys):
            source.store(paths[number % len(paths)], key, content_type="application/octet-stream")
        return keys

    def submit(self, *, only: Sequence[str] = ()) -> "Outputs":
        """A job for all that was put, or what looks like `only`; where its outputs come."""
        self._prefixes += 1
        name = f"outputs-{self._prefixes}"
        submitter = Submitter(self.system.engine, s3=self.s3, chunk_scans=self._chunk_scans, checkpoints=lambda: [])
        submitted = submitter.submit(Submission(SOURCE, f"s3://{BUCKET}/{name}", include=tuple(only)))
        return Outputs(self._folder / "s3" / "buckets" / BUCKET / name, submitted.scans, self.system.check)

    def start_worker(self, name: str, settings: Mapping[str, str], *, cores: Collection[int] | None = None) -> None:
        """`cores`: those that it, and all it starts, may use."""
        with _held_to(cores):
            self._pids[name] = self.system.start("worker", name, settings)

    def hold_still(self, name: str) -> None:
        for process in self.processes(name):
            _signal(process.suspend)

    def let_go_on(self, name: str) -> None:
        for process in self.processes(name):
            _signal(process.resume)

    def processes(self, name: str) -> list[psutil.Process]:
        """The worker and all that it has started."""
        try:
            worker = psutil.Process(self._pids[name])
            return [worker, *worker.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self, name: str) -> float:
        """That all its living processes have used."""
        return sum(_cpu_seconds(process) for process in self.processes(name))

    def services_cpu_seconds(self) -> float:
        """Of the S3 server, the broker and the scheduler."""
        worker_pids = [pid for name in self._pids for pid in (process.pid for process in self.processes(name))]
        services = [process for process in psutil.Process().children(recursive=True) if process.pid not in worker_pids]
        return sum(_cpu_seconds(process) for process in services)

    def memory_bytes(self, name: str) -> float:
        """Resident memory of all its processes, what they share counted once (PSS), where the system tells it."""
        return sum(_resident(process) for process in self.processes(name))

    def device(self, name: str) -> dict[str, float]:
        """The counters of its model server; raises ServiceUnavailable."""
        if name not in self._sockets:
            self._sockets[name] = self._socket(name)
        return stats(self._sockets[name], 5.0)

    def _socket(self, name: str) -> str:
        for process in self.processes(name):
            words = _words(process)
            if "worker.inference.server" in words:
                return words[words.index("--socket") + 1]
        raise ServiceUnavailable(f"the worker {name} has no model server; see {self._folder / 'logs'}")


class Outputs:
    """What has come out of one job, as the store has it."""

    def __init__(self, folder: Path, expected: int, check: Callable[[], None]) -> None:
        self._folder, self.expected, self._check = folder, expected, check

    def count(self) -> int:
        try:
            return sum(not name.startswith(".") for name in os.listdir(self._folder))  # noqa: PTH208 - a third of the time
        except FileNotFoundError:
            return 0

    def wait_for(self, count: int, *, seconds: float = 600.0) -> None:
        """Until so many have been stored; raises ServiceUnavailable when that takes too long."""
        deadline = time.monotonic() + seconds
        while self.count() < count:
            self._check()
            if time.monotonic() >= deadline:
                raise ServiceUnavailable(f"{self.count()} of {count} outputs within {seconds:g} s; see its logs")
            time.sleep(_LOOK_SECONDS)

    def follow(self, line: Line, seconds: float) -> None:
        """Look at the count for so long; between the calls the line's own time, and its own count, stand still."""
        before, counted = line.points[-1] if line.points else (0.0, 0)
        began, first = time.monotonic(), self.count()
        while (passed := time.monotonic() - began) < seconds:
            line.points.append((before + passed, counted + self.count() - first))
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _held_to(cores: Collection[int] | None) -> Iterator[None]:
    """What is started meanwhile inherits it."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):  # it ended meanwhile
        send()


def _cpu_seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


def _resident(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", 0) or memory.rss)
    return 0.0


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
