"""What a process has taken for a while is extended again and again while a block of its work runs."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db.errors import PhotochromError

logger = logging.getLogger(__name__)


@contextmanager
def extended(extend: Callable[[], bool], every_seconds: float, name: str) -> Iterator[None]:
    """Calls `extend` in a thread of that name each `every_seconds` while the block runs, until it returns False.

    A database that can't be reached is asked again at the next turn: what was taken may still last.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(every_seconds):
            try:
                if not extend():
                    return
            except PhotochromError as error:
                logger.warning("%s; trying again", error)

    holder = threading.Thread(target=work, name=name, daemon=True)
    holder.start()
    try:
        yield
    finally:
        ended.set()
        holder.join()
