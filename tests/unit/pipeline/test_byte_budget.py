"""The bytes of the scans in flight are limited."""

import threading

from tests.waiting import PATIENCE_SECONDS
from worker.pipeline.byte_budget import ByteBudget


def test_a_scan_waits_until_there_is_room() -> None:
    budget, entered = ByteBudget(100), threading.Event()

    def hold() -> None:
        with budget.holding(60):
            entered.set()

    waiting = threading.Thread(target=hold)
    with budget.holding(60):
        waiting.start()
        assert not entered.wait(0.05)
    assert entered.wait(PATIENCE_SECONDS)
    waiting.join()


def test_a_scan_larger_than_the_budget_goes_alone() -> None:
    budget = ByteBudget(100)

    with budget.holding(1_000):
        pass
    with budget.holding(100):
        pass
