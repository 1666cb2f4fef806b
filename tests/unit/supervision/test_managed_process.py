"""A managed process is started again when it ends by itself, is given up if this repeats, and can be stopped."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from worker.errors import ServiceUnavailable
from worker.supervision.managed_process import ManagedProcess, RestartPolicy


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def python(code: str) -> Callable[[], "subprocess.Popen[bytes]"]:
    return lambda: subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def wait(process: ManagedProcess) -> None:
    assert process._process is not None
    process._process.wait()


def test_a_process_that_ends_by_itself_is_started_again_after_a_pause_that_doubles() -> None:
    clock = Clock()
    process = ManagedProcess("it", python(""), RestartPolicy(1, 10), clock=clock)
    process.start()
    restarted_after = []
    for _ in range(3):
        wait(process)
        process.poll()
        ended_at = clock.now
        while not process.poll():
            clock.now += 0.5
        restarted_after.append(clock.now - ended_at)
    wait(process)

    assert restarted_after == [1, 2, 4]
    assert process.restarts == 3


def test_a_process_that_ran_steadily_begins_with_the_first_pause() -> None:
    clock = Clock()
    process = ManagedProcess("it", python(""), RestartPolicy(1, 10, steady_seconds=30), clock=clock)
    process.start()
    for seconds in (0, 40):
        wait(process)
        clock.now += seconds
        process.poll()
        clock.now += 1
        assert process.poll()
    wait(process)


def test_a_process_that_ends_again_and_again_is_given_up() -> None:
    process = ManagedProcess("it", python("raise SystemExit(3)"), RestartPolicy(0, most_ends=2))
    process.start()

    def run_until_given_up() -> None:
        while True:
            if process._process is not None:
                wait(process)
            process.poll()

    with pytest.raises(ServiceUnavailable, match="it ended 3 times by itself"):
        run_until_given_up()


def test_an_exit_status_that_forbids_a_restart_is_raised_and_nothing_is_started() -> None:
    def refuse(status: int) -> None:
        raise ValueError(status)

    process = ManagedProcess("it", python("raise SystemExit(2)"), RestartPolicy(0), ended=refuse)
    process.start()
    wait(process)

    with pytest.raises(ValueError, match="2"):
        process.poll()
    assert not process.poll()


def test_a_process_that_heeds_no_signal_is_killed_and_not_started_again() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = ManagedProcess(
        "it",
        lambda: subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE),
        RestartPolicy(0),
    )
    process.start()
    assert process._process is not None
    assert process._process.stdout is not None
    process._process.stdout.readline()

    process.stop(((signal.SIGTERM, 0.1),))

    assert process.pid is None
    assert not process.poll()
