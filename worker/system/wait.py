"""Waiting for a service that is not there yet, or away for a while."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from worker.errors import ServiceUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


def wait_for(
    ask: Callable[[], T], stopping: threading.Event, said: Callable[[str], None] = lambda sentence: None
) -> T | None:
    """What `ask` returns, once it no longer raises ServiceUnavailable; None when told to stop before that.

    Each refusal is logged, with the growing pause that follows it, and handed to `said`.
    """
    pause = _FIRST_PAUSE_SECONDS
    while not stopping.is_set():
        try:
            return ask()
        except ServiceUnavailable as error:
            logger.warning("%s; trying again in %g s", error.message, pause)
            said(error.message)
        stopping.wait(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    return None
