"""deploy/compose.yml as a running system, from images that were made here."""

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.docker import ROOT, compose, docker

HERE = Path(__file__).parent
COMPOSE = "deploy/compose.yml"
_COUNT_DONE = """
CREATE TABLE done_log (scan_id bigint);
CREATE FUNCTION log_done() RETURNS trigger AS
  'BEGIN INSERT INTO done_log VALUES (NEW.id); RETURN NEW; END' LANGUAGE plpgsql;
CREATE TRIGGER log_done AFTER UPDATE OF state ON scan FOR EACH ROW WHEN (NEW.state = 'done')
  EXECUTE FUNCTION log_done();
"""


class System:
    """The compose project `photochrom`; `files` are additional compose files."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self._files = [COMPOSE, *(str(HERE / name) for name in files)]

    def program(self) -> list[str]:
        return [str(compose()), *(part for name in self._files for part in ("--file", name))]

    def compose(self, *arguments: str, check: bool = True, typed: str | None = None) -> str:
        """Run a compose command and return its output. `typed` is its standard input."""
        environment = {**os.environ, "HOME": str(self.folder)}
        ran = subprocess.run(
            [*self.program(), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, input=typed
        )
        assert not check or ran.returncode == 0, f"{arguments}: {ran.stdout[-2000:]}{ran.stderr[-3000:]}"
        return ran.stdout

    def up(self, *options: str) -> None:
        self.compose("up", "--no-build", "--pull", "never", "--detach", *options)

    def photochrom(self, *arguments: str, service: str = "scheduler", typed: str | None = None) -> str:
        return self.compose("exec", "--no-tty", service, "photochrom", *arguments, typed=typed)

    def sql(self, statement: str, *, check: bool = True) -> list[str]:
        psql = ["psql", "--username", "photochrom", "--no-align", "--tuples-only", "--command", statement]
        return self.compose("exec", "--no-tty", "postgresql", *psql, check=check).splitlines()

    def job(self, job_id: int) -> dict[str, Any]:
        return dict(json.loads(self.photochrom("status", str(job_id), "--json"))[0])

    def make_buckets(self) -> None:
        """Make the buckets `archive`, with the folder `scans` as `plates` in it, and `archive-colour`."""
        self.compose("exec", "--no-tty", "s3", "mkdir", "-p", "/data/archive", "/data/archive-colour")
        self.compose("cp", str(self.folder / "scans"), "s3:/data/archive/plates")

    def count_done_writes(self) -> None:
        self.sql(_COUNT_DONE)

    def containers(self, service: str, *options: str) -> list[str]:
        return self.compose("ps", "--quiet", *options, service).split()

    def kill(self, container: str) -> None:
        """Send SIGKILL from outside, as the kernel does, so that Docker starts the container again as after a crash."""
        os.kill(int(inspect(container, "{{.State.Pid}}")), signal.SIGKILL)

    def port(self, service: str, port: int) -> int:
        return int(self.compose("port", service, str(port)).rpartition(":")[2])

    def prometheus(self, expression: str) -> list[Any]:
        query = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self.port('prometheus', 9090)}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.loads(answer.read())["data"]["result"])

    def wait(self, condition: Any, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.compose("logs", "--tail", "30", check=False)
            time.sleep(1)


def inspect(container: str, template: str) -> str:
    return docker("inspect", "--format", template, container).stdout.strip()


@contextmanager
def running(folder: Path, *files: str) -> Iterator[System]:
    """Start the system, wait until all of it is ready, and remove it at the end with everything that it stored."""
    system = System(folder, files)
    try:
        system.compose("down", "--volumes", "--timeout", "5", check=False)
        system.up()
        system.wait(lambda: all(inspect(one, "{{.State.Health.Status}}") == "healthy" for one in _ours(system)), 400)
        yield system
    finally:
        system.compose("down", "--volumes", "--timeout", "5", check=False)


def _ours(system: System) -> list[str]:
    return [*system.containers("scheduler"), *system.containers("worker")] or ["none"]
