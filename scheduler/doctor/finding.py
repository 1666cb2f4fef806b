"""One thing that was looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from db.clock import utc_now
from db.errors import PhotochromError, ServiceUnavailable
from worker.extras import missing_extra

CLOCK_SECONDS = 5.0  # leases are minutes long, and S3 refuses a clock that is a quarter of an hour off


class State:
    FINE = "fine"
    NOTE = "note"  # works, and somebody should know
    WRONG = "wrong"  # does not work, or will not


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and, unless it is fine, what to do."""

    what: str
    state: str
    said: str
    do: str = ""
    unreachable: bool = False  # a service is away


def guarded(what: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The check's findings; an error ends it, and is its last finding."""
    try:
        yield from check()
    except PhotochromError as error:
        said, _, do = error.message.partition("; ")
        yield Finding(what, State.WRONG, said, do, isinstance(error, ServiceUnavailable))
    except ModuleNotFoundError as error:
        if (refusal := missing_extra(error)) is None:
            raise
        said, _, do = refusal.message.partition("; ")
        yield Finding(what, State.WRONG, said, do)
    except SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", error)).split())[:200]
        yield Finding(what, State.WRONG, said, "look at the rights of the database's user")


def clock(what: str, theirs: datetime) -> Finding:
    """How far a service's clock is from ours, give or take the time that asking took."""
    off = (theirs - utc_now()).total_seconds()
    if abs(off) > CLOCK_SECONDS:
        said = f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
        return Finding(what, State.WRONG, said, "set both by NTP: leases and S3's signatures go by the clock")
    return Finding(what, State.FINE, f"its clock is within {CLOCK_SECONDS:g} s of this machine's")
