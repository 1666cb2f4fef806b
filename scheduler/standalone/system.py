"""A whole system on one machine, in one folder: broker, database, scheduler and worker, and an S3 server if wanted."""

import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from db.migrations import upgrade
from db.session import make_engine
from scheduler.standalone.services import S3Server, ValkeyServer
from worker.errors import ServiceUnavailable, UsageError
from worker.supervision.managed_process import ManagedProcess, RestartPolicy

logger = logging.getLogger(__name__)

STOP_SECONDS = 40
LEAST_FREE_BYTES = 1 << 20
# The command that started the system writes the report, and says where it is.
_OWN_REPORT = {"PHOTOCHROM_WRITE_REPORTS": "false"}
RESTARTS = 5


class System:
    """The embedded services and the processes, as a context manager.

    Everything is in `folder`, and the output of processes in `folder`/logs. At the end, nothing is left running. If
    this process is killed, the processes that it started end by themselves.
    """

    def __init__(self, folder: Path, *, with_s3: bool, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: variables that its processes get besides this process' own."""
        self.folder, self._settings = folder, dict(settings or {})
        self.s3: S3Server | None = S3Server(folder / "s3") if with_s3 else None
        self._valkey = ValkeyServer(folder / "valkey")
        self._processes: dict[str, ManagedProcess] = {}
        self._restarts = 0
        self._interrupted = False
        self._interrupts_wait = False
        self._open = ExitStack()
        self.engine: Engine = make_engine(self.database_url)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder.resolve() / 'photochrom.db'}"

    def __enter__(self) -> "System":
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opening:
            opening.enter_context(self._interruptible())
            for service in filter(None, (self._valkey, self.s3)):
                with self._interrupts_held():
                    opening.enter_context(service)
            upgrade(self.engine)
            opening.callback(self._stop_processes)
            self._open = opening.pop_all()
        return self

    def __exit__(self, error_type: type[BaseException] | None = None, *_: object) -> None:
        # If somebody presses Ctrl-C twice, everything must still be stopped.
        self._interrupts_wait = True
        self._open.close()
        if self._interrupted and error_type is not KeyboardInterrupt:
            # The code that was interrupted replaced the exception, or dropped it.
            raise KeyboardInterrupt from None

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """SIGTERM ends the block like Ctrl-C, so that everything that it started is stopped.

        Python drops an exception that is raised in a C library's callback, so `check` raises it again.
        """

        def interrupt(*_: object) -> None:
            self._interrupted = True
            if not self._interrupts_wait:
                raise KeyboardInterrupt

        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _interrupts_held(self) -> Iterator[None]:
        """An interrupt waits until the block ends.

        A process that the block starts must also be recorded, or nobody would stop it.
        """
        self._interrupts_wait = True
        try:
            yield
        finally:
            self._interrupts_wait = False
        self._raise_interrupt()

    def _raise_interrupt(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def environment(self) -> dict[str, str]:
        """The settings with which any `photochrom` command works on this system."""
        return {
            "PHOTOCHROM_BROKER_URL": self._valkey.url,
            "PHOTOCHROM_DATABASE_URL": self.database_url,
            **(self.s3.environment() if self.s3 else {}),
            **self._settings,
        }

    def adopt(self) -> None:
        """Give this process the same settings until the end, so that boto3 in it uses this system's store.

        A later system must not find the files of one that is gone.
        """
        before = {name: os.environ.get(name) for name in self.environment()}
        os.environ.update(self.environment())
        self._open.callback(_give_back, before)

    def start_processes(self) -> None:
        """Start the scheduler and the worker."""
        for command in ("scheduler", "worker"):
            self.start(command)

    def start(self, command: str, name: str | None = None, settings: Mapping[str, str] | None = None) -> int:
        """Start a scheduler or a worker, with additional settings if given. Returns its process id."""
        name = name or command
        process = ManagedProcess(
            f"the {name}",
            partial(self._spawn, name, command, settings or {}),
            RestartPolicy(first_pause_seconds=0),
            ended=partial(self._expect_killed, name),
        )
        with self._interrupts_held():
            self._processes[name] = process
            process.start()
        assert process.pid is not None
        return process.pid

    def pid(self, name: str) -> int | None:
        """The id of a process by its name, None where it is not running; another one after it was started again."""
        return self._processes[name].pid

    def check(self) -> None:
        """Start killed services and processes again: services always, processes a few times. Nothing is lost.

        Raises UsageError or ServiceUnavailable, with the last lines of its log, if a process has ended by itself; and
        KeyboardInterrupt.
        """
        self._raise_interrupt()
        for service in filter(None, (self._valkey, self.s3)):
            with self._interrupts_held():
                service.poll()
        for process in self._processes.values():
            with self._interrupts_held():
                process.poll()

    def trouble(self) -> str:
        """A problem that stops everything until a person solves it: a full disk, on which no process can even write a
        message.
        """
        if shutil.disk_usage(self.folder).free >= LEAST_FREE_BYTES:
            return ""
        return f"the disk of {self.folder} is full; make room there and the run continues, or stop it with Ctrl-C"

    def _expect_killed(self, name: str, status: int) -> None:
        """A process that was killed may be started again, a few times; one that gave up may not."""
        if status < 0 and self._restarts < RESTARTS:
            self._restarts += 1
            return
        error = UsageError if status == UsageError.exit_status else ServiceUnavailable
        raise error(
            f"the {name} ended by itself with status {status}: {self._last_words(name)}; its log is {self._log(name)}"
        )

    def _spawn(self, name: str, command: str, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        self._log(name).parent.mkdir(exist_ok=True)
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler", command],
                env=_inherited()
                | self.environment()
                | {**settings, "PHOTOCHROM_PARENT_PID": str(os.getpid()), **_OWN_REPORT},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches every process in the foreground group, but this process must stop them in order.
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("photochrom: ") if lines else "its log is empty"

    def _stop_processes(self) -> None:
        # Workers first, so that the scheduler still sees what they hand back.
        for name in sorted(self._processes, key=lambda name: name == "scheduler"):
            self._processes.pop(name).stop(((signal.SIGTERM, STOP_SECONDS),))


def _inherited() -> dict[str, str]:
    """The environment without the port for metrics: two processes can't share one port, and a container's image sets it
    for one.
    """
    return {name: value for name, value in os.environ.items() if name.upper() != "PHOTOCHROM_METRICS_PORT"}


def _give_back(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Locks the file `lock` while the block runs; the file and its folder are made if missing.

    Raises UsageError if another process has locked it.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise UsageError(f"{lock.parent} can't be used ({error.strerror}); name a folder that can be written") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another photochrom works in {lock.parent} now; wait for it to end, or name another folder"
            ) from None
        yield
