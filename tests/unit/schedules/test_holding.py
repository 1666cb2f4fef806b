"""Claims that are extended while work runs."""

import threading

from scheduler.holding import extended
from tests.waiting import PATIENCE_SECONDS


def test_a_claim_is_extended_again_after_an_error_of_any_kind() -> None:
    calls, extended_again = list[int](), threading.Event()

    def extend() -> bool:
        calls.append(len(calls))
        if len(calls) == 1:
            raise RuntimeError("an unexpected error")
        extended_again.set()
        return True

    with extended(extend, 0.001, "listing"):
        assert extended_again.wait(PATIENCE_SECONDS)
