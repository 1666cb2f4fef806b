"""Three ways to colourize the same scans: a worker, Ray Data with the same model, and a plain script."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil
from sqlalchemy import func, select

from db.models.jobs import Scan, ScanState
from db.session import read_scope
from scheduler.bench.parts.model import load, model_options, script_precision
from scheduler.bench.pool import BUCKET, SOURCE, Outputs, Pool
from scheduler.bench.probe import Probe
from scheduler.bench.process_tree import ProcessTree
from scheduler.bench.sizes import Bench
from worker.errors import ServiceUnavailable


class Peer(Protocol):
    """One way to colourize scans in S3. Its processes can be stopped, continued and killed."""

    name: str

    def colourize(self, keys: Sequence[str], prefix: str) -> Outputs:
        """Start to colourize exactly the scans whose keys begin with `prefix`. Returns where their outputs will be."""

    def tree(self) -> ProcessTree:
        """All its processes."""

    def model_pid(self) -> int:
        """The process that holds the model; raises ServiceUnavailable."""

    def has_ended(self) -> bool:
        """Whether it has stopped working on these scans, finished or not."""

    def start_again(self) -> bool:
        """Start killed processes again, if nothing else does. Returns whether that was necessary."""

    def last_words(self) -> str:
        """Its last message about scans that it has not finished."""


class WorkerPeer:
    """A worker, which the system starts again by itself, as systemd or Kubernetes would."""

    name = "the worker"

    def __init__(self, pool: Pool, name: str = "worker") -> None:
        self._pool, self._name = pool, name

    def colourize(self, keys: Sequence[str], prefix: str) -> Outputs:
        """See Peer."""
        del keys  # it lists the source
        return self._pool.submit(only=[f"{prefix}*"])

    def tree(self) -> ProcessTree:
        """See Peer."""
        return self._pool.tree(self._name)

    def model_pid(self) -> int:
        """See Peer."""
        return int(self._pool.model_server(self._name).pid)

    def has_ended(self) -> bool:
        """See Peer."""
        self._pool.system.check()
        return self._pending() == 0

    def start_again(self) -> bool:
        """See Peer."""
        return False

    def last_words(self) -> str:
        """See Peer."""
        newest = select(func.max(Scan.job_id)).scalar_subquery()
        failed = select(Scan.error_code).where(Scan.job_id == newest, Scan.state == ScanState.FAILED)
        with read_scope(self._pool.system.engine) as session:
            codes = session.scalars(failed).all()
        return f"its row says failed, {', '.join(filter(None, codes))}" if codes else ""

    def _pending(self) -> int:
        newest = select(func.max(Scan.job_id)).scalar_subquery()
        pending = select(func.count()).where(Scan.job_id == newest, Scan.state == ScanState.PENDING)
        with read_scope(self._pool.system.engine) as session:
            return session.scalar(pending) or 0


class ProbePeer(ABC):
    """Ray Data or the script: a process that goes through the keys once and does not know what is done already."""

    def __init__(self, name: str, module: str, pool: Pool, bench: Bench, environment: dict[str, str]) -> None:
        self.name, self._module, self._pool, self._bench = name, module, pool, bench
        self._environment = environment
        self._probe = Probe(module, environment)
        self._answer: Any = None

    def __enter__(self) -> "ProbePeer":
        self._prepare(self._probe)
        return self

    def __exit__(self, *_: object) -> None:
        self.tree().let_go_on()
        self._probe.__exit__()

    def colourize(self, keys: Sequence[str], prefix: str) -> Outputs:
        """See Peer."""
        self._keys, self._answer = list(keys), None
        self._places = {
            "source": SOURCE,
            "destination": f"s3://{BUCKET}/{self._folder_name(prefix)}",
            "endpoint_url": str(self._pool.s3.endpoint_url),
        }
        self._begin(self._probe)
        return Outputs(self._pool.bucket_folder / self._folder_name(prefix), len(keys), self._pool.system.check)

    def tree(self) -> ProcessTree:
        """See Peer."""
        return ProcessTree(self._probe.pid)

    def has_ended(self) -> bool:
        """See Peer."""
        if self._answer is None and (self._probe.has_ended or self._probe.has_answered):
            try:
                self._answer = self._probe.answer()
            except ServiceUnavailable as error:
                self._answer = error
        return self._answer is not None

    def start_again(self) -> bool:
        """See Peer."""
        if not self._probe.has_ended:
            return False
        self._probe.__exit__()
        self._probe, self._answer = Probe(self._module, self._environment), None
        self._prepare(self._probe)
        self._begin(self._probe)
        return True

    def last_words(self) -> str:
        """See Peer."""
        return self._answer.message[-200:] if isinstance(self._answer, ServiceUnavailable) else ""

    def _folder_name(self, prefix: str) -> str:
        return f"{self._module.rpartition('.')[2]}-{prefix or 'all'}"

    @abstractmethod
    def _prepare(self, probe: Probe) -> None:
        """Give the program what it needs before its first scan."""

    @abstractmethod
    def _begin(self, probe: Probe) -> None:
        """Let the program begin with the scans, without waiting for its answer."""

    @abstractmethod
    def model_pid(self) -> int:
        """See Peer."""


class ScriptPeer(ProbePeer):
    """A script that fetches a scan, predicts it and stores the output, in a loop."""

    def __init__(self, pool: Pool, bench: Bench) -> None:
        super().__init__("the script", "worker.bench.model", pool, bench, {})

    def model_pid(self) -> int:
        """See Peer."""
        return self._probe.pid

    def _prepare(self, probe: Probe) -> None:
        load(probe, self._bench, (1,), script_precision(self._bench))

    def _begin(self, probe: Probe) -> None:
        probe.begin("script_through", keys=self._keys, **self._places)


class RayPeer(ProbePeer):
    """Ray Data. Its files are in `folder`. The folder's path must be short, because Ray's sockets are in it too."""

    def __init__(self, pool: Pool, bench: Bench, folder: Path) -> None:
        # Ray gives an actor that counts as one core one thread of OpenMP; the model may use all, as in a worker.
        environment = {
            "OMP_NUM_THREADS": str(bench.cores),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # otherwise its actors have a lower priority than all else
        }
        super().__init__("Ray Data", "worker.bench.ray_data", pool, bench, environment)
        self._folder, self._starts = folder, 0

    def model_pid(self) -> int:
        """See Peer."""
        try:
            return int(psutil.Process(int((self._started / "model.pid").read_text())).pid)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            raise ServiceUnavailable("Ray's actor with the model is not running") from None

    def _prepare(self, probe: Probe) -> None:
        self._starts += 1
        self._started = self._folder / str(self._starts)
        probe.ask("start", folder=str(self._started), cores=self._bench.cores)

    def _begin(self, probe: Probe) -> None:
        batch_size, options = self._bench.batch_size, model_options(self._bench)
        options["precision"] = script_precision(self._bench)
        probe.begin("colourize", places=self._places, model=options, batch_size=batch_size, keys=self._keys)
