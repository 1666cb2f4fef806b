"""The carrier: several scans in hand, outcomes in bulk, and when it stops."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from db.models.jobs import Scan
from db.queries.scans.records import Measured
from worker.errors import LeaseLost, ScanError
from worker.tasks.scan_pool import Carrier, Outcome

SCANS = [Scan(id=number, source_key=f"{number}.jpg") for number in range(1, 9)]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


class Log:
    """Records what it is given; `runs` is its answer."""

    def __init__(self, runs: bool = True) -> None:
        self.runs = runs
        self.outcomes: list[Outcome] = []

    def record(self, outcomes: list[Outcome]) -> bool:
        self.outcomes += outcomes
        return self.runs

    def codes(self) -> dict[int, str | None]:
        return {each.scan.id: each.error.code if each.error else None for each in self.outcomes}


def carrier(
    pool: ThreadPoolExecutor,
    colorize: Callable[[Scan, Measured], None],
    record: Callable[[list[Outcome]], bool],
    *,
    stopping: Callable[[], bool] = lambda: False,
    record_seconds: float = 60.0,
) -> Carrier:
    return Carrier(pool, colorize=colorize, record=record, stopping=stopping, in_hand=3, record_seconds=record_seconds)


def test_every_scan_is_recorded_once(pool: ThreadPoolExecutor) -> None:
    log = Log()

    carrier(pool, lambda scan, measured: None, log.record).carry(SCANS)

    assert log.codes() == dict.fromkeys(range(1, 9))


def test_a_bad_scan_fails_alone_and_a_fault_of_ours_may_pass(pool: ThreadPoolExecutor) -> None:
    log = Log()

    def colorize(scan: Scan, measured: Measured) -> None:
        if scan.id == 2:
            raise ScanError("truncated", "2.jpg ends early", permanent=True)
        if scan.id == 3:
            raise ZeroDivisionError

    carrier(pool, colorize, log.record).carry(SCANS)

    assert log.codes() == {**dict.fromkeys(range(1, 9)), 2: "truncated", 3: "internal"}
    assert [each.error.permanent for each in log.outcomes if each.error and each.scan.id == 3] == [False]


def test_a_failure_keeps_what_was_measured_before_it(pool: ThreadPoolExecutor) -> None:
    log = Log()

    def colorize(scan: Scan, measured: Measured) -> None:
        measured.source_bytes = 17
        raise ScanError("truncated", "it ends early", permanent=True)

    carrier(pool, colorize, log.record).carry(SCANS[:1])

    assert log.outcomes[0].measured.source_bytes == 17


def test_no_more_than_in_hand_run_at_once(pool: ThreadPoolExecutor) -> None:
    begun = threading.Semaphore(0)
    release = threading.Event()
    started: list[int] = []

    def colorize(scan: Scan, measured: Measured) -> None:
        started.append(scan.id)
        begun.release()
        release.wait(10)

    with ThreadPoolExecutor(8) as wide:
        carrying = threading.Thread(target=carrier(wide, colorize, Log().record).carry, args=(SCANS,))
        carrying.start()
        for _ in range(3):
            begun.acquire(timeout=10)
        assert not begun.acquire(timeout=0.1)
        release.set()
        carrying.join(10)

    assert sorted(started) == list(range(1, 9))


def test_when_told_to_stop_it_finishes_what_it_has_in_hand(pool: ThreadPoolExecutor) -> None:
    log, stopped = Log(), threading.Event()

    def colorize(scan: Scan, measured: Measured) -> None:
        stopped.set()

    carrier(pool, colorize, log.record, stopping=stopped.is_set).carry(SCANS)

    assert 1 <= len(log.outcomes) <= 3


def test_it_begins_nothing_more_once_its_job_no_longer_runs(pool: ThreadPoolExecutor) -> None:
    log = Log(runs=False)

    carrier(pool, lambda scan, measured: None, log.record, record_seconds=0.0).carry(SCANS)

    assert len(log.outcomes) <= 6


def test_after_a_lost_lease_nothing_runs_any_more(pool: ThreadPoolExecutor) -> None:
    running: set[int] = set()

    def colorize(scan: Scan, measured: Measured) -> None:
        running.add(scan.id)
        threading.Event().wait(0.05)
        running.discard(scan.id)

    def record(outcomes: list[Outcome]) -> bool:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        carrier(pool, colorize, record, record_seconds=0.0).carry(SCANS)

    assert running == set()


def test_the_lease_is_extended_though_no_scan_has_ended(pool: ThreadPoolExecutor) -> None:
    extended = threading.Event()
    log = Log()

    def record(outcomes: list[Outcome]) -> bool:
        extended.set()
        return log.record(outcomes)

    def colorize(scan: Scan, measured: Measured) -> None:
        if not extended.wait(10):
            raise ScanError("late", "the lease was not extended while this scan was in hand", permanent=True)

    carrier(pool, colorize, record, record_seconds=0.01).carry(SCANS[:1])

    assert log.codes() == {1: None}
