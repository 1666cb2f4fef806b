"""A whole system on one machine: whenever it is interrupted, nothing that it started is left running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.standalone.system import System
from tests.processes import MARK, marked_processes, new_mark, survivors
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS", "1")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mark in the environment, which only the processes of one test have."""
    mark = new_mark()
    monkeypatch.setenv(MARK, mark)
    return mark


class InterruptedStart(subprocess.Popen[bytes]):
    """The signal arrives when the process exists, but before the code that started it has its id."""

    number = signal.SIGINT

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[call-overload]
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_process_starts_leaves_none(
    number: signal.Signals, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InterruptedStart, "number", number)

    def interrupted() -> None:
        with System(tmp_path, with_s3=False) as system:
            monkeypatch.setattr("subprocess.Popen", InterruptedStart)
            system.start_processes()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert survivors(mark) == []


def test_an_interrupt_while_a_service_starts_leaves_none(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", InterruptedStart)

    with pytest.raises(KeyboardInterrupt), System(tmp_path, with_s3=False):
        pass

    assert survivors(mark) == []


class InterruptedEnd(subprocess.Popen[bytes]):
    """A second Ctrl-C arrives while the process is being stopped."""

    def send_signal(self, sig: int) -> None:
        if sig == signal.SIGTERM:
            signal.raise_signal(signal.SIGINT)
        super().send_signal(sig)


def test_a_second_interrupt_does_not_leave_half_of_it_running(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def interrupted() -> None:
        with System(tmp_path, with_s3=False) as system:
            monkeypatch.setattr("subprocess.Popen", InterruptedEnd)
            system.start_processes()
            assert marked_processes(mark)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert survivors(mark) == []


def test_a_process_whose_starter_died_before_it_could_look_ends_too(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    database = f"sqlite:///{tmp_path / 'nothing.db'}"
    orphan = subprocess.Popen(
        [sys.executable, "-P", "-m", "scheduler", "scheduler"],
        env=os.environ | {"PHOTOCHROM_PARENT_PID": str(gone.pid), "PHOTOCHROM_DATABASE_URL": database},
    )
    try:
        assert orphan.wait(PATIENCE_SECONDS) is not None
    finally:
        orphan.kill()
