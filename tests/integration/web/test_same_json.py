"""The API gives the same values as `--json`: scans, histories, verdicts, workers, schedules and their runs."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from scheduler.access.actor import Actor
from scheduler.actions import reviews
from tests.acceptance.command import photochrom_here
from tests.integration.web.conftest import Web
from tests.rows import run_worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database is enough to compare."""
    return sqlite_url


def printed(web: Web, folder: Path, *words: str) -> Any:
    url = web.context.engine.url.render_as_string(hide_password=False)
    command = photochrom_here(*words, "--json", folder=folder, PHOTOCHROM_DATABASE_URL=url)
    assert command.returncode == 0, command.stderr
    return plain(json.loads(command.stdout))


def answered(web: Web, path: str) -> Any:
    return plain(web.browser().get(f"/api/v1{path}").json())


def plain(value: Any) -> Any:
    """The value with each time in one form: the API writes it as ISO 8601, and the command line with a space."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and value[:2] == "20":
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return value
    return value


def test_scans_and_one_scan_over_all_jobs_are_what_the_command_prints(web: Web, tmp_path: Path) -> None:
    scans = answered(web, "/jobs/1/scans")["scans"]
    history = answered(web, "/scans?key=box/0.jpg")["scans"]

    assert len(scans) == 6
    assert scans == printed(web, tmp_path, "scans", "1")
    assert len(history) == 1
    assert history == printed(web, tmp_path, "scans", "--key", "box/0.jpg")


def test_verdicts_are_what_the_command_prints(web: Web, engine: Engine, tmp_path: Path) -> None:
    reviews.decide(engine, 1, [1, 2], "accept", Actor("ada"), note="fine")

    verdicts = answered(web, "/jobs/1/reviews")

    assert len(verdicts) == 2
    assert verdicts == printed(web, tmp_path, "review", "1", "--reviewed")


def test_workers_are_what_the_command_prints(web: Web, engine: Engine, tmp_path: Path) -> None:
    run_worker(engine, "v", "vivid")

    workers = answered(web, "/workers")

    assert [worker["state"] for worker in workers] == ["at work"]
    assert workers == printed(web, tmp_path, "status", "--workers")


def test_schedules_and_their_runs_are_what_the_command_prints(web: Web, tmp_path: Path) -> None:
    body = {"source": str(web.source), "destination": str(web.source.parent / "nightly"), "cron": "@daily"}
    for name in ("plates", "twin"):
        web.browser().post(f"/api/v1/schedules/{name}", json=body)
    web.browser().post("/api/v1/schedules/plates/run")

    schedules, runs = answered(web, "/schedules"), answered(web, "/schedules/plates/history")

    assert ["'plates' writes into" in schedule["warnings"][0] for schedule in schedules] == [False, True]
    assert schedules == printed(web, tmp_path, "schedule", "list")
    assert len(runs) == 1
    assert runs == printed(web, tmp_path, "schedule", "history", "plates")
