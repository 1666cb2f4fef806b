"""`photochrom schedule` as it is typed: what it changes, and who is recorded as the person who did it."""

import json
import subprocess
from collections.abc import Callable
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db.clock import utc_now
from db.models.access import AuditEntry
from db.models.schedules import Schedule as ScheduleRow
from db.session import make_engine, read_scope, session_scope
from tests.acceptance.command import photochrom_here

Schedule = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def schedule(migrated_sqlite_url: str, tmp_path: Path) -> Schedule:
    """`photochrom schedule ...`; there is a schedule "plates" from the folder in to the folder out."""
    (tmp_path / "in").mkdir()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return photochrom_here("schedule", *words, folder=tmp_path, PHOTOCHROM_DATABASE_URL=migrated_sqlite_url)

    places = str(tmp_path / "in"), str(tmp_path / "out")
    added = run(
        "add", "plates", *places, "--cron", "0 1 * * *", "--label", "AI", "--include", "*.tif", "--quality", "80"
    )
    assert added.returncode == 0, added.stderr
    return run


def plates(schedule: Schedule) -> dict[str, Any]:
    [row] = json.loads(schedule("list", "--json").stdout)
    return dict(row)


def test_an_edit_changes_what_is_named_and_nothing_else(schedule: Schedule) -> None:
    before = plates(schedule)
    edited = schedule("edit", "plates", "--cron", "30 2 * * *", "--format", "tiff", "--label", "", "--include", "")

    assert edited.returncode == 0, edited.stderr
    assert edited.stdout.startswith("schedule plates starts its next job at ")
    after = plates(schedule)
    assert (after["cron"], after["timezone"], after["source"]) == ("30 2 * * *", "UTC", before["source"])
    changes = {
        name: after["options"][name] for name in after["options"] if after["options"][name] != before["options"][name]
    }
    assert changes == {"format": "tiff", "label": None, "include": []}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["edit", "plates"], "expected at least one option that is to change"),
        (["edit", "nonesuch", "--quality", "90"], "there is no schedule 'nonesuch'"),
        (["edit", "plates", "--cron", "never"], "has 1 fields; expected five"),
        (["edit", "plates", "--format", "gif"], "--format gif: expected one of"),
    ],
)
def test_an_impossible_edit_is_refused_and_changes_nothing(schedule: Schedule, words: list[str], sentence: str) -> None:
    before = plates(schedule)
    refused = schedule(*words)

    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert plates(schedule) == before


def test_every_change_says_who_made_it(schedule: Schedule, migrated_sqlite_url: str) -> None:
    schedule("edit", "plates", "--quality", "90")
    schedule("disable", "plates")
    assert "it is disabled, until photochrom schedule enable" in schedule("edit", "plates", "--quality", "91").stdout
    schedule("enable", "plates")
    schedule("run", "plates")
    schedule("remove", "plates")

    with read_scope(make_engine(migrated_sqlite_url)) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert {(entry.actor, entry.via) for entry in entries} == {(getuser(), "local")}
    steps = ("add", "edit", "disable", "edit", "enable", "run", "remove")
    assert [entry.action for entry in entries] == [f"schedule_{step}" for step in steps]
    assert all(entry.detail == {"schedule": "plates"} for entry in entries)


def test_two_schedules_into_one_destination_are_warned_of(schedule: Schedule) -> None:
    row = plates(schedule)
    second = schedule("add", "again", row["source"], row["destination"], "--cron", "@daily")

    assert second.returncode == 0
    assert "is the destination of plates too" in second.stderr


def test_an_edit_says_that_a_schedule_is_due_already(schedule: Schedule, migrated_sqlite_url: str) -> None:
    with session_scope(make_engine(migrated_sqlite_url)) as session:
        session.execute(update(ScheduleRow).values(next_due_at=utc_now()))
    due_at = plates(schedule)["next_due_at"]

    edited = schedule("edit", "plates", "--quality", "90")

    assert edited.stdout.startswith("schedule plates has been due since ")
    assert plates(schedule)["next_due_at"] == due_at
