"""One result of the doctor's checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db.clock import utc_now
from db.errors import PhotochromError, ServiceUnavailable
from worker.errors import unusable
from worker.extras import missing_extra

CLOCK_SECONDS = 5.0  # leases last minutes, and S3 refuses a clock that is wrong by a quarter of an hour


class State:
    FINE = "fine"
    NOTE = "note"  # works, but a person should know about it
    WRONG = "wrong"  # does not work, or will not


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked (`subject`), its state, a sentence, and what to do if it is not fine."""

    subject: str
    state: str
    sentence: str
    remedy: str = ""
    unreachable: bool = False  # a service does not answer

    def as_row(self) -> dict[str, Any]:
        """The finding as a row for --json, whose names must not change."""
        return {
            "what": self.subject,
            "state": self.state,
            "said": self.sentence,
            "do": self.remedy,
            "unreachable": self.unreachable,
        }


def guarded(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check. An error ends the check and becomes its last finding."""
    try:
        yield from check()
    except PhotochromError as error:
        yield _wrong(subject, error)
    except ModuleNotFoundError as error:
        if (refusal := missing_extra(error)) is None:
            raise
        yield _wrong(subject, refusal)
    except OSError as error:
        yield _wrong(subject, unusable(error))
    except SQLAlchemyError as error:
        sentence = " ".join(str(getattr(error, "orig", error)).split())[:200]
        yield Finding(subject, State.WRONG, sentence, "check the rights of the database's user")


def _wrong(subject: str, error: PhotochromError) -> Finding:
    sentence, _, remedy = error.message.partition("; ")
    return Finding(subject, State.WRONG, sentence, remedy, isinstance(error, ServiceUnavailable))


def clock(subject: str, time: datetime) -> Finding:
    """The difference between a service's clock and this machine's, which may be wrong by the time that the
    answer took.
    """
    seconds = (time - utc_now()).total_seconds()
    if abs(seconds) > CLOCK_SECONDS:
        direction = "ahead of" if seconds > 0 else "behind"
        sentence = f"its clock is {abs(seconds):.0f} s {direction} this machine's"
        return Finding(subject, State.WRONG, sentence, "set both by NTP: leases and S3's signatures go by the clock")
    return Finding(subject, State.FINE, f"its clock is within {CLOCK_SECONDS:g} s of this machine's")
