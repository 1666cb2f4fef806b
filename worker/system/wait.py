"""Waits for a service that does not answer yet."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_before_delay,
    stop_when_event_set,
    wait_exponential,
)

from worker.errors import PhotochromError, ServiceUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_FIRST_LOCAL_PAUSE_SECONDS, _LONGEST_LOCAL_PAUSE_SECONDS = 0.02, 1.0  # for a process on this machine


def wait_for(
    ask: Callable[[], T], stopping: threading.Event, refused: Callable[[str], None] = lambda sentence: None
) -> T | None:
    """Call `ask` until it no longer raises ServiceUnavailable. Returns its result, or None if `stopping` is set before.

    Each error is logged with the pause after it, which grows, and passed to `refused`.
    """
    if stopping.is_set():
        return None

    def note(state: RetryCallState) -> None:
        _log(state)
        refused(_reason(state))

    tries = Retrying(
        retry=retry_if_exception_type(ServiceUnavailable),
        stop=stop_when_event_set(stopping),
        sleep=sleep_using_event(stopping),
        wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LONGEST_PAUSE_SECONDS),
        before_sleep=note,
        retry_error_callback=lambda state: None,
    )
    return tries(ask)


def try_until(
    stopped: Callable[[], bool],
    call: Callable[[], object],
    errors: tuple[type[PhotochromError], ...],
    *,
    refused: Callable[[str], None],
    sleep: Callable[[float], None],
) -> bool:
    """Call `call` again while it raises one of `errors`, with pauses as in `wait_for`, until `stopped` is true.

    `refused` gets the sentence of each error. Returns whether a call succeeded.
    """
    tries = Retrying(
        retry=retry_if_exception_type(errors),
        stop=lambda state: stopped(),
        sleep=sleep,
        wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LONGEST_PAUSE_SECONDS),
        before_sleep=lambda state: refused(_reason(state)),
        retry_error_callback=lambda state: False,
    )

    def succeed() -> bool:
        call()
        return True

    return not stopped() and tries(succeed)


def try_again(call: Callable[[], T], error: type[PhotochromError], *, seconds: float) -> T:
    """Call `call` again while it raises `error`. After `seconds`, the error is raised."""
    tries = Retrying(
        retry=retry_if_exception_type(error),
        stop=stop_after_delay(seconds),
        wait=wait_exponential(multiplier=0.5, max=10),
        before_sleep=_log,
        reraise=True,
    )
    return tries(call)


def try_before(
    deadline: float, call: Callable[[], T], errors: tuple[type[Exception], ...], *, stopped: Callable[[], bool]
) -> T:
    """Call `call` again while it raises one of `errors`, with short pauses, as for a process on this machine.

    The error is raised if `stopped` is true, or if the next pause would end after `deadline`, by time.monotonic().
    """
    too_late = stop_before_delay(deadline - time.monotonic())
    tries = Retrying(
        retry=retry_if_exception_type(errors),
        stop=lambda state: stopped() or too_late(state),
        wait=wait_exponential(multiplier=_FIRST_LOCAL_PAUSE_SECONDS, max=_LONGEST_LOCAL_PAUSE_SECONDS),
        reraise=True,
    )
    return tries(call)


def _log(state: RetryCallState) -> None:
    logger.warning("%s; trying again in %.3g s", _reason(state), state.upcoming_sleep)


def _reason(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return error.message if isinstance(error, PhotochromError) else str(error)
