"""Extends a claim again and again while a block of work runs."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db.errors import PhotochromError

logger = logging.getLogger(__name__)


@contextmanager
def extended(extend: Callable[[], bool], every_seconds: float, name: str) -> Iterator[None]:
    """Calls `extend` every `every_seconds`, in a thread with this name, while the block runs, until it returns False.

    If `extend` raises, because the database can't be reached or for any other reason, it is called again at the next
    turn, because the claim may not have expired yet.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(every_seconds):
            try:
                if not extend():
                    return
            except PhotochromError as error:
                logger.warning("%s; trying again", error)
            except Exception:
                logger.exception("the claim of a %s could not be extended; trying again", name)

    holder = threading.Thread(target=work, name=name, daemon=True)
    holder.start()
    try:
        yield
    finally:
        ended.set()
        holder.join()
