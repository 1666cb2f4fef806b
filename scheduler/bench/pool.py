"""A real system whose workers can be stopped and continued, so that the other side of a comparison gets its turns."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from scheduler.bench.process_tree import ProcessTree, command_words, cpu_seconds
from scheduler.bench.rates import Line
from scheduler.standalone.system import System
from scheduler.submission.submitter import Submission, Submitter
from worker.errors import ServiceUnavailable
from worker.inference.client import stats
from worker.storage import S3Options, open_storage, parse_location

BUCKET = "photochrom-bench"
SOURCE = f"s3://{BUCKET}/scans"
# The beginnings of names that are no outputs: files that are being written, and the folders of reports and of tries of
# an upload.
NO_OUTPUTS = (".", "photochrom-")
_LOOK_SECONDS = 0.05  # these looks run on the measured cores, so they are rare


class Pool:
    """Two S3 buckets, SQLite, Valkey, a scheduler, and workers by name. A context manager.

    A worker is stopped with SIGSTOP and continued later. Turns must be much shorter than a lease.
    """

    def __init__(self, folder: Path, *, chunk_scans: int) -> None:
        self._folder, self._chunk_scans = folder, chunk_scans
        self.system = System(folder, with_s3=True)
        self._workers: list[str] = []
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
        for name in self._workers:
            self.let_go_on(name)
        self.system.__exit__()

    @property
    def s3(self) -> S3Options:
        assert self.system.s3 is not None
        return S3Options(endpoint_url=self.system.s3.endpoint_url)

    @property
    def bucket_folder(self) -> Path:
        """Where the S3 server keeps the bucket's objects."""
        return self._folder / "s3" / "buckets" / BUCKET

    def put(self, paths: Sequence[Path], count: int, prefix: str = "") -> list[str]:
        """Put `count` scans into the source, the same files again and again under new keys. Returns the keys."""
        source = open_storage(parse_location(SOURCE), s3=self.s3)
        keys = [f"{prefix}{number:06}{paths[number % len(paths)].suffix}" for number in range(count)]
        for number, key in enumerate(keys):
            source.store(paths[number % len(paths)], key, content_type="application/octet-stream")
        return keys

    def submit(self, *, only: Sequence[str] = (), **options: Any) -> "Outputs":
        """Submit a job for all scans, or for those that match the patterns `only`. `options` are those of a Submission.

        Returns the outputs of the job.
        """
        self._prefixes += 1
        name = f"outputs-{self._prefixes}"
        submitter = Submitter(self.system.engine, s3=self.s3, chunk_scans=self._chunk_scans, checkpoints=lambda: [])
        submitted = submitter.submit(Submission(SOURCE, f"s3://{BUCKET}/{name}", include=tuple(only), **options))
        return Outputs(self.bucket_folder / name, submitted.scans, self.system.check)

    def start_worker(self, name: str, settings: Mapping[str, str], *, cores: Collection[int] | None = None) -> None:
        """Start a worker. `cores`: the cores that it and its child processes may use."""
        with _held_to(cores):
            self._workers.append(name)
            self.system.start("worker", name, settings)

    def tree(self, name: str) -> ProcessTree:
        """The worker and all that it has started."""
        return ProcessTree(self.system.pid(name))

    def hold_still(self, name: str) -> None:
        self.tree(name).hold_still()

    def let_go_on(self, name: str) -> None:
        self.tree(name).let_go_on()

    def cpu_seconds(self, name: str) -> float:
        """The processor time that all running processes of the worker have used."""
        return self.tree(name).cpu_seconds()

    def services_cpu_seconds(self) -> float:
        """The processor time that the S3 server, the broker and the scheduler have used."""
        worker_pids = [process.pid for name in self._workers for process in self.tree(name).processes()]
        services = [process for process in psutil.Process().children(recursive=True) if process.pid not in worker_pids]
        return sum(cpu_seconds(process) for process in services)

    def memory_bytes(self, name: str) -> float:
        """The resident memory of all its processes; memory that they share is counted once (PSS) if the system reports
        it.
        """
        return self.tree(name).memory_bytes()

    def device(self, name: str) -> dict[str, float]:
        """The counters of the worker's model server. Raises ServiceUnavailable."""
        if name not in self._sockets:
            self._sockets[name] = self._socket(name)
        return stats(self._sockets[name], 5.0)

    def _socket(self, name: str) -> str:
        words = command_words(self.model_server(name))
        return words[words.index("--socket") + 1]

    def model_server(self, name: str) -> psutil.Process:
        """The process of the worker that holds the model; raises ServiceUnavailable."""
        for process in self.tree(name).processes():
            if "worker.inference.server" in command_words(process):
                return process
        raise ServiceUnavailable(f"the worker {name} has no model server; see {self._folder / 'logs'}")


class Outputs:
    """The outputs of one job that are in the store."""

    def __init__(self, folder: Path, expected: int, check: Callable[[], None]) -> None:
        self._folder, self.expected, self._check = folder, expected, check

    def count(self) -> int:
        try:
            return sum(not name.startswith(NO_OUTPUTS) for name in os.listdir(self._folder))  # noqa: PTH208 - a third of the time
        except FileNotFoundError:
            return 0

    def paths(self) -> list[Path]:
        """The outputs' files, as the S3 server keeps them."""
        return sorted(path for path in self._folder.iterdir() if not path.name.startswith(NO_OUTPUTS))

    def wait_for(self, count: int, *, seconds: float = 600.0) -> None:
        """Wait until this many outputs are stored. Raises ServiceUnavailable if that takes too long."""
        deadline = time.monotonic() + seconds
        while self.count() < count:
            self._check()
            if time.monotonic() >= deadline:
                raise ServiceUnavailable(f"{self.count()} of {count} outputs within {seconds:g} s; see its logs")
            time.sleep(_LOOK_SECONDS)

    def writes(self) -> set[tuple[str, int]]:
        """The name and the time of writing of each output. If an output is made twice, two calls show two times."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            return {
                (entry.name, entry.stat().st_mtime_ns) for entry in entries if not entry.name.startswith(NO_OUTPUTS)
            }
        return set()

    def follow(self, line: Line, seconds: float) -> None:
        """Record the number of outputs for `seconds`. Between two calls, neither the time nor the number of `line`
        changes.
        """
        before, counted = line.points[-1] if line.points else (0.0, 0)
        began, first = time.monotonic(), self.count()
        while (passed := time.monotonic() - began) < seconds:
            line.points.append((before + passed, counted + self.count() - first))
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _held_to(cores: Collection[int] | None) -> Iterator[None]:
    """While the block runs, this thread and the processes that it starts use only these cores."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
