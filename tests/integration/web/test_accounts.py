"""Accounts that change, and sign-ins that fail: who may do what afterwards, and what is recorded."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from db.migrations import upgrade
from db.models.access import AuditEntry
from db.session import make_engine, read_scope
from scheduler.access.actor import Actor
from scheduler.actions import users
from tests.acceptance.command import photochrom_here
from tests.integration.web.conftest import Web, form
from worker.errors import NotFound, UsageError

ADA = Actor("ada")
PASSWORD = "correct horse battery"


def recorded(engine: Engine, action: str) -> list[tuple[str, object]]:
    with read_scope(engine) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id))
        return [(entry.actor, entry.detail) for entry in entries]


def test_an_account_that_is_enabled_again_has_its_password_and_tokens(web: Web, engine: Engine) -> None:
    users.add(engine, "vera", ADA, role="viewer", password=PASSWORD)
    _, token = users.new_token(engine, "vera", ADA, label="a program")
    client = web.browser(authorization=f"Bearer {token}")
    users.disable(engine, "vera", ADA)
    disabled = client.get("/api/v1/jobs").status_code
    users.enable(engine, "vera", ADA)
    signed_in = web.browser().post("/sign-in", data=form(name="vera", password=PASSWORD))

    assert (disabled, client.get("/api/v1/jobs").status_code) == (401, 200)
    assert signed_in.url.path == "/jobs"
    assert recorded(engine, "user_enable") == [("ada", {"account": "vera"})]


def test_a_changed_role_and_changed_places_hold_for_the_tokens_that_exist(web: Web, engine: Engine) -> None:
    users.add(engine, "vera", ADA, role="operator", password=None)
    _, token = users.new_token(engine, "vera", ADA, label="a program")
    client = web.browser(authorization=f"Bearer {token}")
    users.change(engine, "vera", ADA, role="viewer")
    paused = client.post("/api/v1/jobs/1/pause")
    seen = client.get("/api/v1/jobs/1").status_code
    users.change(engine, "vera", ADA, prefixes=["s3://elsewhere"])
    hidden = client.get("/api/v1/jobs/1").status_code
    account = users.change(engine, "vera", ADA, prefixes=[])

    assert (paused.status_code, seen, hidden, client.get("/api/v1/jobs/1").status_code) == (403, 200, 404, 200)
    assert (account.role, account.prefixes) == ("viewer", None)
    assert len(recorded(engine, "user_change")) == 3
    with pytest.raises(NotFound, match="there is no account 'nobody'"):
        users.change(engine, "nobody", ADA, role="viewer")
    with pytest.raises(UsageError, match="'king' is not a role"):
        users.change(engine, "vera", ADA, role="king")


def test_a_failed_sign_in_is_recorded_and_logged_without_what_may_be_a_password(
    web: Web, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    users.add(engine, "vera", ADA, role="viewer", password=PASSWORD)
    with caplog.at_level(logging.WARNING):
        for name in ("vera", PASSWORD, "nul\0"):
            web.browser().post("/sign-in", data=form(name=name, password="wrong horse battery"))

    assert [actor for actor, _ in recorded(engine, "sign_in_failed")] == ["vera", "unknown", "unknown"]
    assert recorded(engine, "sign_in_failed")[0][1] == {"address": "testclient"}
    assert "a sign-in of 'vera' from testclient failed" in caplog.text
    assert "horse battery" not in caplog.text


def test_the_command_changes_and_enables_an_account(sqlite_url: str, tmp_path: Path) -> None:
    engine = make_engine(sqlite_url)
    upgrade(engine)
    users.add(engine, "vera", ADA, role="viewer", password=None)

    def command(*words: str) -> tuple[int, str]:
        done = photochrom_here("users", *words, folder=tmp_path, PHOTOCHROM_DATABASE_URL=sqlite_url)
        return done.returncode, done.stdout + done.stderr

    changed = command("change", "vera", "--role", "reviewer", "--prefix", "s3://archive")
    assert changed == (0, "account vera is a reviewer for s3://archive\n")
    assert command("change", "vera", "--all-places") == (0, "account vera is a reviewer for all places\n")
    assert command("enable", "vera") == (0, "account vera is enabled\n")
    status, refused = command("change", "vera")
    assert (status, "expected --role, --prefix or --all-places" in refused) == (2, True)
    assert command("change", "vera", "--all-places", "--prefix", "s3://a")[0] == 2
