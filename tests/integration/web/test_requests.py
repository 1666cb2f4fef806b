"""Limits, headers and counts hold for every request, even for one that fails."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import uvicorn
from sqlalchemy import Engine, update
from starlette.testclient import TestClient

from db.clock import utc_now
from db.models.access import IdempotencyKey, Role
from db.queries.access import idempotency
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.actions import reviews, users
from scheduler.web.api import idempotency as answers
from scheduler.web.auth.identity import Identity
from scheduler.web.auth.throttle import TRIES_OF_ADDRESS
from scheduler.web.middleware import MAX_BODY_BYTES
from tests.integration.web.conftest import Web, form, make_web, write_picture
from worker.errors import Conflict

ADA = Actor("ada")


def requests_counted(web: Web) -> dict[tuple[str, str], float]:
    """The number of requests by route and status."""
    [metric] = web.metrics.requests.collect()
    samples = (sample for sample in metric.samples if sample.name.endswith("_total"))
    return {(sample.labels["route"], sample.labels["status"]): sample.value for sample in samples}


@pytest.mark.parametrize("path", ["/jobs/1", "/api/v1/jobs/1"])
def test_an_unexpected_error_is_answered_with_all_headers_and_counted(
    web: Web, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours, with a secret")

    monkeypatch.setattr("scheduler.web.context.Context.job", fail)

    answer = web.browser().get(path)

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert [status for route, status in requests_counted(web) if route.endswith("/jobs/{job_id}")] == ["500"]


def chunks(byte_count: int) -> Iterator[bytes]:
    for _ in range(0, byte_count, 1 << 20):
        yield b"a" * (1 << 20)


FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/jobs", "application/json"),
        ("/api/v1/jobs", FORM),
        ("/jobs/new", FORM),
        ("/jobs/new", MULTIPART),
        ("/sign-in", FORM),
        ("/sign-in", MULTIPART),
    ],
)
def test_a_body_that_does_not_say_its_length_is_held_to_the_limit(web: Web, path: str, kind: str) -> None:
    answer = web.browser().post(path, content=chunks(MAX_BODY_BYTES + (2 << 20)), headers={"content-type": kind})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.fixture
def port(web: Web) -> Iterator[int]:
    """The port of a real server."""
    config = uvicorn.Config(web.app, port=0, log_config=None, http="h11")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(30)


def test_an_endless_body_is_answered_and_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        with suppress(OSError):
            while sent < 256 << 20:
                connection.sendall(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n")
                sent += 1 << 20
        answer = b""
        with suppress(ConnectionResetError):
            answer = connection.recv(65536)

    assert sent < 64 << 20
    assert not answer or answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_disconnects_is_not_an_error_of_the_server(web: Web, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                           b"Content-Type: application/x-www-form-urlencoded\r\n\r\nname=")  # fmt: skip
    deadline = time.monotonic() + 30
    while not requests_counted(web) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not [status for _, status in requests_counted(web) if status.startswith("5") or status == "0"]


def behind_a_proxy(web: Web, engine: Engine, **settings: object) -> TestClient:
    """A browser whose requests come from the proxy 10.1.2.3."""
    users.add(engine, "ada", ADA, role="viewer", password="correct horse battery")
    served = make_web(
        engine, web.source.parent / "p", web.source, web.destination, web_proxy_addresses="10.0.0.0/8", **settings
    )
    browser = served.browser()
    browser._transport.client = ("10.1.2.3", 1)  # type: ignore[attr-defined]
    return browser


def sign_in(browser: TestClient, password: str, *, forwarded: str) -> int:
    fields = form(name="ada", password=password)
    answer = browser.post("/sign-in", data=fields, headers={"X-Forwarded-For": forwarded}, follow_redirects=False)
    return int(answer.status_code)


def test_behind_a_proxy_one_person_locks_nobody_else_out(web: Web, engine: Engine) -> None:
    browser = behind_a_proxy(web, engine)
    for _ in range(TRIES_OF_ADDRESS):
        sign_in(browser, "wrong horse battery", forwarded="192.0.2.7")

    assert sign_in(browser, "correct horse battery", forwarded="192.0.2.7") == 429
    assert sign_in(browser, "correct horse battery", forwarded="192.0.2.8") == 303


def test_a_browser_s_own_header_entries_do_not_count(web: Web, engine: Engine) -> None:
    browser = behind_a_proxy(web, engine)
    for number in range(TRIES_OF_ADDRESS):
        sign_in(browser, "wrong horse battery", forwarded=f"198.51.100.{number}, 192.0.2.7, 10.9.9.9")

    assert sign_in(browser, "correct horse battery", forwarded="198.51.100.99, 192.0.2.7, 10.9.9.9") == 429
    assert sign_in(browser, "correct horse battery", forwarded="nonsense") == 303  # it counts for the proxy's address


def test_the_header_does_not_count_if_it_comes_from_another_address(web: Web, engine: Engine) -> None:
    users.add(engine, "ada", ADA, role="viewer", password="correct horse battery")
    browser = web.browser()
    for number in range(TRIES_OF_ADDRESS):
        sign_in(browser, "wrong horse battery", forwarded=f"198.51.100.{number}")

    assert sign_in(browser, "correct horse battery", forwarded="198.51.100.99") == 429


def test_a_proxy_that_only_ends_tls_names_nobody(web: Web, engine: Engine) -> None:
    browser = behind_a_proxy(web, engine, web_proxy_header="")

    assert browser.get("/api/v1/jobs", headers={"X-Forwarded-User": "ada"}).status_code == 401
    assert sign_in(browser, "correct horse battery", forwarded="192.0.2.7") == 303


def test_seen_names_no_other_scans_than_the_verdict(web: Web, engine: Engine) -> None:
    client = web.browser()
    client.post("/api/v1/jobs/1/reviews", json={"scans": [2], "verdict": "accept"})

    answer = client.post("/api/v1/jobs/1/reviews", json={"scans": [1], "verdict": "reject", "seen": {"2": None}})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "accepted" not in answer.text
    assert [row["scan_id"] for row in client.get("/api/v1/jobs/1/reviews").json()] == [2]


def body(web: Web) -> dict[str, str]:
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    return {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}


def test_a_key_of_a_process_that_was_killed_is_free_after_a_minute(web: Web, engine: Engine) -> None:
    client, headers = web.browser(), {"Idempotency-Key": "box-7"}
    first = client.post("/api/v1/jobs", json=body(web), headers=headers)
    with session_scope(engine) as session:  # as if it had been killed before it answered
        session.execute(update(IdempotencyKey).values(status=None, answer=None, created_at=utc_now()))
    soon = client.post("/api/v1/jobs", json=body(web), headers=headers)
    with session_scope(engine) as session:
        session.execute(update(IdempotencyKey).values(created_at=utc_now() - timedelta(seconds=61)))
    later = client.post("/api/v1/jobs", json=body(web), headers=headers)

    assert (first.status_code, soon.status_code) == (201, 409)
    assert "ask again later" in soon.json()["detail"]
    assert later.status_code in (200, 201)
    assert later.json()["job_id"] == first.json()["job_id"]


def test_a_key_is_held_while_its_request_is_worked_on(
    web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "HOLD_SECONDS", 0.02)
    monkeypatch.setattr(idempotency, "GOING", timedelta(seconds=0.5))
    refused: list[str] = []

    def make(_record: object) -> tuple[int, dict[str, object]]:
        deadline = time.monotonic() + 1.5  # three times the time after which a silent process loses its key
        while time.monotonic() < deadline:
            with session_scope(engine) as session:
                if idempotency.begin(session, "ada", "box-7", "x", now=utc_now()) is not None:
                    refused.append("409")
            time.sleep(0.1)
        return 201, {"job_id": 2}

    status, _ = answers.answer_once(web.context, Identity("ada", Role.OPERATOR, None, "token"), "box-7", {}, make)

    assert status == 201
    assert len(refused) > 5


class Killed(BaseException):
    """As if the process had been killed at this moment."""


def test_a_redo_whose_process_is_killed_before_it_answers_is_not_made_twice(
    web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, redo = web.browser(), {"json": {"scans": [1]}, "headers": {"Idempotency-Key": "redo-7"}}

    def redo_and_die(*args: object, **options: object) -> int:
        actions_redo(*args, **options)  # type: ignore[arg-type]
        raise Killed

    actions_redo = reviews.redo
    monkeypatch.setattr(reviews, "redo", redo_and_die)
    with pytest.raises(Killed):
        client.post("/api/v1/jobs/1/redo", **redo)
    monkeypatch.undo()
    with session_scope(engine) as session:
        session.execute(update(IdempotencyKey).values(created_at=utc_now() - timedelta(seconds=61)))
    again = client.post("/api/v1/jobs/1/redo", **redo)

    assert (again.status_code, again.json()) == (201, {"job": 2})
    assert [job["job"] for job in client.get("/api/v1/jobs").json()["jobs"]] == [2, 1]


def test_of_two_requests_with_one_key_only_one_is_done(web: Web, engine: Engine) -> None:
    ada = Identity("ada", Role.OPERATOR, None, "token")

    def second(record: answers.Record) -> tuple[int, dict[str, object]]:
        with session_scope(engine) as session:
            record(session, 201, {"job": 2})
        return 201, {"job": 2}

    def first(record: answers.Record) -> tuple[int, dict[str, object]]:
        with session_scope(engine) as session:  # it was silent for so long that it has lost its key
            session.execute(update(IdempotencyKey).values(created_at=utc_now() - timedelta(seconds=61)))
        answers.answer_once(web.context, ada, "box-7", {}, second)
        with session_scope(engine) as session:
            record(session, 201, {"job": 3})
        return 201, {"job": 3}

    with pytest.raises(Conflict, match="answered meanwhile"):
        answers.answer_once(web.context, ada, "box-7", {}, first)

    assert answers.answer_once(web.context, ada, "box-7", {}, second) == (201, {"job": 2})
