"""The scan pool works on several scans at once, gives outcomes in batches, and stops when it is told to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from db.models.jobs import Scan
from db.queries.scans.records import ScanMeasurements
from worker.errors import ScanError
from worker.tasks.scan_pool import Outcome, ScanPool

SCANS = [Scan(id=number, source_key=f"{number}.jpg") for number in range(1, 9)]


@pytest.fixture
def pool() -> Iterator[ScanPool]:
    with closing(ScanPool(3)) as pool:
        yield pool


def colorized(
    pool: ScanPool,
    colorize_scan: Callable[[Scan, ScanMeasurements], None],
    *,
    scans: list[Scan] = SCANS,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    batches = pool.colorize(scans, colorize_scan, every_seconds=60, stopping=stopping)
    return [outcome for batch in batches for outcome in batch]


def codes(outcomes: list[Outcome]) -> dict[int, str | None]:
    return {outcome.scan.id: outcome.error.code if outcome.error else None for outcome in outcomes}


def test_every_scan_ends_once(pool: ScanPool) -> None:
    assert codes(colorized(pool, lambda scan, measured: None)) == dict.fromkeys(range(1, 9))


def test_a_bad_scan_fails_alone_and_a_fault_of_ours_may_pass(pool: ScanPool) -> None:
    def colorize(scan: Scan, measurements: ScanMeasurements) -> None:
        if scan.id == 2:
            raise ScanError("truncated", "2.jpg ends early", permanent=True)
        if scan.id == 3:
            raise ZeroDivisionError

    outcomes = colorized(pool, colorize)

    assert codes(outcomes) == {**dict.fromkeys(range(1, 9)), 2: "truncated", 3: "internal"}
    assert [each.error.permanent for each in outcomes if each.error and each.scan.id == 3] == [False]


def test_a_failure_keeps_what_was_measured_before_it(pool: ScanPool) -> None:
    def colorize(scan: Scan, measurements: ScanMeasurements) -> None:
        measurements.source_bytes = 17
        raise ScanError("truncated", "it ends early", permanent=True)

    assert colorized(pool, colorize, scans=SCANS[:1])[0].measurements.source_bytes == 17


def test_no_more_than_its_threads_run_at_once(pool: ScanPool) -> None:
    begun, release = threading.Semaphore(0), threading.Event()
    started: list[int] = []

    def colorize(scan: Scan, measurements: ScanMeasurements) -> None:
        started.append(scan.id)
        begun.release()
        release.wait(10)

    colorizing = threading.Thread(target=colorized, args=(pool, colorize))
    colorizing.start()
    for _ in range(3):
        begun.acquire(timeout=10)
    assert not begun.acquire(timeout=0.1)
    release.set()
    colorizing.join(10)

    assert sorted(started) == list(range(1, 9))


def test_a_pool_that_is_told_to_stop_finishes_only_the_scans_that_it_has_begun(pool: ScanPool) -> None:
    stopped = threading.Event()

    outcomes = colorized(pool, lambda scan, measured: stopped.set(), stopping=stopped.is_set)

    assert 1 <= len(outcomes) <= 3


def test_closing_the_iterator_early_waits_for_the_running_scans(pool: ScanPool) -> None:
    running: set[int] = set()

    def colorize(scan: Scan, measurements: ScanMeasurements) -> None:
        running.add(scan.id)
        threading.Event().wait(0.05)
        running.discard(scan.id)

    batches = pool.colorize(SCANS, colorize, every_seconds=0, stopping=lambda: False)
    with closing(batches):
        next(batches)

    assert running == set()


def test_outcomes_come_in_time_though_no_scan_has_ended(pool: ScanPool) -> None:
    empty_list_came = threading.Event()

    def colorize(scan: Scan, measurements: ScanMeasurements) -> None:
        if not empty_list_came.wait(10):
            raise ScanError("late", "nothing came while this scan was in hand", permanent=True)

    outcomes: list[Outcome] = []
    for batch in pool.colorize(SCANS[:1], colorize, every_seconds=0.01, stopping=lambda: False):
        empty_list_came.set()
        outcomes += batch

    assert codes(outcomes) == {1: None}
