"""When a cron line is due, also on days when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.schedules.cron import next_due
from worker.errors import UsageError

ROME = "Europe/Rome"


def due_times(cron: str, first: str, days: int) -> list[str]:
    """The due times of a cron line in Rome, for so many days from the beginning of the day `first`."""
    at = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(ROME)) - timedelta(seconds=1)
    end, found = at + timedelta(days=days), []
    while (at := next_due(cron, ROME, after=at.astimezone(UTC))) < end:
        found.append(f"{at.astimezone(ZoneInfo(ROME)):%d %H:%M %Z}")
    return found


def test_one_at_night_stays_one_at_night_when_summer_begins() -> None:
    assert due_times("0 1 * * *", "2026-03-28", 3) == ["28 01:00 CET", "29 01:00 CET", "30 01:00 CEST"]


def test_a_time_that_is_skipped_in_spring_is_made_up_for() -> None:
    assert due_times("30 2 * * *", "2026-03-28", 3) == ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]


def test_a_time_that_comes_twice_in_autumn_counts_once() -> None:
    assert due_times("30 2 * * *", "2026-10-24", 3) == ["24 02:30 CEST", "25 02:30 CEST", "26 02:30 CET"]


def test_it_is_not_due_again_when_asked_within_the_repeated_hour() -> None:
    second_coming = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 CET, 40 minutes after 02:30 CEST

    assert next_due("30 2 * * *", ROME, after=second_coming) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_every_hour_is_every_hour_when_clocks_change() -> None:
    assert len(due_times("0 * * * *", "2026-03-29", 1)) == 23
    assert len(due_times("0 * * * *", "2026-10-25", 1)) == 25


@pytest.mark.parametrize(
    ("cron", "timezone", "said"),
    [
        ("0 1 * *", "UTC", "4 fields"),
        ("61 1 * * *", "UTC", "bad minute"),
        ("0 0 30 2 *", "UTC", "day-of-month"),
        ("0 0 */20 * 1L", "UTC", "expected|never"),
        ("0 1 * * *", "Europe/Room", "Europe/Rome"),
        ("0 1 * * *", "/etc/passwd", "not known"),
        ("0 1 * * *", "", "not known"),
    ],
)
def test_an_invalid_time_is_refused_and_the_message_says_what_is_expected(cron: str, timezone: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        next_due(cron, timezone, after=datetime(2026, 1, 1, tzinfo=UTC))
