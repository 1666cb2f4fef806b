"""In a container, the numbers of children and threads follow the container's CPU quota and memory."""

from pathlib import Path

import pytest

from worker.settings import settings as settings_module
from worker.settings.settings import Settings
from worker.system import machine
from worker.system.machine import (
    available_cores,
    available_memory_bytes,
    fitting_children,
    machine_cores,
    thread_variables,
    whole_cores,
)


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{256 << 20}\n")
    return tmp_path


def test_a_containers_quota_and_memory_count(cgroup: Path) -> None:
    assert available_cores(cgroup) == 0.5
    assert whole_cores(cgroup) == 1
    assert available_memory_bytes(cgroup) == 256 << 20


def test_tensorflow_is_told_of_a_quota(cgroup: Path, tmp_path: Path) -> None:
    assert thread_variables(cgroup) == {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    assert thread_variables(tmp_path / "no quota") == {}


def test_without_a_quota_the_machines_cores_count(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")

    assert available_cores(tmp_path) == machine_cores()


def test_children_and_what_they_hold_follow_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "available_memory_bytes", lambda: 1 << 30)
    for name in ("PHOTOCHROM_CHILDREN", "PHOTOCHROM_IN_FLIGHT_BYTES"):
        monkeypatch.delenv(name, raising=False)

    assert Settings(children=4).in_flight_bytes == 128 << 20
    assert Settings(children=4, in_flight_bytes=1 << 30).in_flight_bytes == 1 << 30
    assert Settings().children == fitting_children()


def test_children_are_no_more_than_fit_in_a_quarter_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "machine_cores", lambda: 64.0)
    (tmp_path / "memory.max").write_text(f"{4 << 30}\n")
    assert fitting_children(tmp_path) == 4
    (tmp_path / "memory.max").write_text(f"{100 << 20}\n")
    assert fitting_children(tmp_path) == 1


def test_a_limit_of_cgroup_version_1_counts_and_none_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    limit = tmp_path / "memory" / "memory.limit_in_bytes"
    limit.write_text(f"{512 << 20}\n")
    assert available_memory_bytes(tmp_path) == 512 << 20
    limit.write_text("9223372036854771712\n")
    assert available_memory_bytes(tmp_path) == available_memory_bytes(tmp_path / "no cgroup")
