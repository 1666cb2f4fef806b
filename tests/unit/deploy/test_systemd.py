"""systemd accepts the units and rates them as well protected, and a worker has time to drain."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import SYSTEMD_ANALYZE
from tests.system_calls import allowed_calls
from tests.unit.deploy.files import DEPLOY, DRAIN_SECONDS, MARGIN_SECONDS, seconds

UNITS = ("photochrom-scheduler.service", "photochrom-web.service", "photochrom-worker@.service")


@pytest.fixture
def units(tmp_path: Path) -> dict[str, Path]:
    """The units as they are installed, with the path of this machine's Python and one worker of the template."""
    installed = {}
    for name in UNITS:
        path = tmp_path / name.replace("@", "@0")
        unit = (DEPLOY / "systemd" / name).read_text("utf-8")
        path.write_text(unit.replace("/opt/photochrom/bin/photochrom", sys.executable))
        installed[name] = path
    return installed


def test_systemd_takes_them_and_rates_them_as_locked_up(units: dict[str, Path]) -> None:
    program = SYSTEMD_ANALYZE.require()
    verified = subprocess.run([program, "verify", *units.values()], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")

    for path in units.values():
        command = [program, "security", "--offline=true", "--threshold=25", path]
        rated = subprocess.run(command, capture_output=True, text=True)
        assert rated.returncode == 0, rated.stdout[-200:]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_refuses_calls_that_only_root_needs_and_allows_what_the_processes_call(name: str) -> None:
    allowed = allowed_calls(DEPLOY / "systemd" / name)
    # Children lower their priority; TensorFlow pins threads and memory.
    assert {"openat", "execve", "setpriority", "sched_setaffinity", "mbind", "memfd_create"} <= allowed
    assert not {"mount", "chroot", "ptrace", "bpf", "init_module"} & allowed


def test_a_worker_has_time_to_drain_and_its_children_are_its_own_to_stop() -> None:
    lines = (DEPLOY / "systemd" / "photochrom-worker@.service").read_text("utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert seconds(said["TimeoutStopSec"]) >= DRAIN_SECONDS + MARGIN_SECONDS
    assert said["KillMode"] == "mixed"
    assert said["RestartPreventExitStatus"] == "2"
