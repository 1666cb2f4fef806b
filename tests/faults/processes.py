"""Starts, kills and stops the processes of a system that a test breaks."""

import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import psutil


class Processes(ABC):
    """Processes by name: `scheduler`, or `worker` with any suffix. The output of each goes into its log in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The environment of processes that are started from now on."""

    def start(self, *names: str, **settings: str) -> None:
        """Start these processes, for the first time or again. `settings` are for these only."""
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                command = [sys.executable, "-m", "scheduler", name.partition("-")[0]]
                environment = {**self.environment, **settings}
                self._processes[name] = subprocess.Popen(
                    command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
                )

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def kill(self, name: str, *, with_children: bool = True) -> None:
        """Send SIGKILL to the process alone, or to its whole tree at once, as if the machine was lost."""
        process = self._processes.pop(name)
        tree = self.tree(process.pid) if process.poll() is None else []
        for each in tree[: None if with_children else 1]:
            with _gone_is_fine():
                each.send_signal(signal.SIGKILL)
        process.wait()

    def terminate(self, name: str) -> None:
        """Send SIGTERM. `ends` waits for the end."""
        self._processes[name].terminate()

    def ends(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def exit_status(self, name: str) -> int | None:
        """None while it runs."""
        return self._processes[name].poll()

    def tree(self, pid: int) -> list[psutil.Process]:
        try:
            parent = psutil.Process(pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def model_servers(self) -> list[psutil.Process]:
        return [each for each in self._below() if "worker.inference.server" in _command(each)]

    def children(self) -> list[psutil.Process]:
        """Celery's children: the Celery processes whose parent is a Celery process."""
        celery = [each for each in self._below() if any("worker.tasks.app" in part for part in _command(each))]
        pids = {each.pid for each in celery}
        return [each for each in celery if each.ppid() in pids]

    def _below(self) -> list[psutil.Process]:
        return [each for process in self._processes.values() for each in self.tree(process.pid)]

    def kill_all(self) -> None:
        for name in list(self._processes):
            self.kill(name)


class _gone_is_fine:  # noqa: N801 - reads as a sentence
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, psutil.NoSuchProcess)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
