"""The HTTP API: the same values as --json, errors as problem details, and no request that makes it fail."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as specs
from sqlalchemy import Engine, select

from db.models.access import IdempotencyKey
from db.session import read_scope, session_scope
from scheduler.web import problems
from scheduler.web.errors import WebError, status_and_code
from tests.acceptance.command import photochrom_here
from tests.integration.web.conftest import Web, make_collection, make_web, write_picture
from tests.source_code import ROOT
from worker.errors import Conflict, NotFound, PhotochromError, ServiceUnavailable, UsageError

PROBLEM = "application/problem+json"
CHECKS = [
    checks.not_a_server_error,
    specs.status_code_conformance,
    specs.content_type_conformance,
    specs.response_schema_conformance,
]
HYPOTHESIS = settings(
    max_examples=15,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def api_web(engine: Engine, tmp_path: Path) -> Web:
    return make_web(engine, tmp_path, tmp_path / "scans", tmp_path / "colour")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # one kind of database is enough to compare
def test_a_job_is_what_status_json_prints(web: Web, sqlite_url: str, tmp_path: Path) -> None:
    printed = photochrom_here("status", "1", "--json", folder=tmp_path, PHOTOCHROM_DATABASE_URL=sqlite_url)

    answered = web.browser().get("/api/v1/jobs/1").json()
    answered["created_at"] = answered["finished_at"] = "2026-07-01 12:00:00+00:00"

    assert [answered] == json.loads(printed.stdout)


def test_scans_are_paged_by_cursor(web: Web) -> None:
    client, keys, cursor = web.browser(), [], ""
    while cursor is not None:
        page = client.get("/api/v1/jobs/1/scans", params={"limit": 4, "cursor": cursor, "order": "key"}).json()
        keys.append([scan["source_key"] for scan in page["scans"]])
        cursor = page["next"]

    assert keys == [[f"box/{number}.jpg" for number in range(4)], ["box/4.jpg", "box/5.jpg"]]


def test_a_submission_makes_a_job_and_the_same_key_makes_no_second_one(web: Web) -> None:
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    body = {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}
    client = web.browser()

    dry = client.post("/api/v1/jobs?dry_run=true", json=body)
    first = client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "box-7"})
    again = client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "box-7"})
    other = client.post("/api/v1/jobs", json={**body, "quality": 50}, headers={"Idempotency-Key": "box-7"})

    assert (dry.status_code, dry.json()["scans"], dry.json()["job_id"]) == (200, 1, None)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert other.status_code == 422
    assert len(client.get("/api/v1/jobs").json()["jobs"]) == 2
    assert client.get(f"/api/v1/jobs/{first.json()['job_id']}").json()["submitted_by"]


def test_an_answer_that_an_earlier_version_stored_is_given_again(web: Web, engine: Engine) -> None:
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    body = {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}
    client, headers = web.browser(), {"Idempotency-Key": "box-7"}
    first = client.post("/api/v1/jobs", json=body, headers=headers)
    with session_scope(engine) as session:
        row = session.scalars(select(IdempotencyKey)).one()
        row.answer = {name: value for name, value in (row.answer or {}).items() if name != "formats"}

    again = client.post("/api/v1/jobs", json=body, headers=headers)

    assert (again.status_code, again.json()["job_id"]) == (201, first.json()["job_id"])


def test_the_fields_that_were_sent_alone_decide_whether_a_request_is_the_same(web: Web, engine: Engine) -> None:
    """So a later version, whose bodies have more optional fields, knows a request of this one again."""
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    job = {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}
    client = web.browser()

    client.post("/api/v1/jobs", json=job, headers={"Idempotency-Key": "job"}).raise_for_status()
    client.post("/api/v1/jobs/1/redo", json={"scans": [1]}, headers={"Idempotency-Key": "redo"}).raise_for_status()
    choice = {"scans": [1], "choice": "keep"}
    client.post("/api/v1/jobs/1/choose", json=choice, headers={"Idempotency-Key": "choose"}).raise_for_status()

    requests = {
        "job": {**job, "dry_run": False, "wait": True},
        "redo": {"redo": 1, "scans": [1]},
        "choose": {"choose": 1, **choice},
    }
    with read_scope(engine) as session:
        stored = {row.key: row.request_sha256 for row in session.scalars(select(IdempotencyKey))}
    assert stored == {
        key: hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        for key, request in requests.items()
    }


def test_a_manifest_outside_of_the_source_is_not_opened(web: Web) -> None:
    secret = web.source.parent / "secret"
    secret.write_text("a,secret,of,ours\n")
    (web.source / "list.csv").write_text("box/0.jpg\n")
    (web.source / "link").symlink_to(secret)
    body = {"source": str(web.source), "destination": str(web.source.parent / "more colour")}
    client = web.browser()

    for manifest in (secret, web.source / "link", web.source / ".." / "secret", "/proc/self/environ"):
        for path in ("/api/v1/jobs?dry_run=true", "/api/v1/schedules/nightly"):
            cron = {"cron": "0 1 * * *"} if "schedules" in path else {}
            refused = client.post(path, json={**body, **cron, "manifest": str(manifest)})
            assert refused.status_code == 422
            assert "outside the source" in refused.json()["detail"]

    taken = client.post("/api/v1/jobs?dry_run=true", json={**body, "manifest": str(web.source / "list.csv")})
    assert (taken.status_code, taken.json()["scans"]) == (200, 1)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/jobs/99", 404, "not_found"),
        ("/api/v1/jobs/0", 422, "invalid"),
        ("/api/v1/jobs/1/scans?cursor=x", 422, "invalid"),
        ("/api/v1/schedules/none", 404, "not_found"),
        ("/api/v1/nothing", 404, "not_found"),
    ],
)
def test_errors_are_problem_details_with_stable_codes(web: Web, path: str, status: int, code: str) -> None:
    answer = web.browser().get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["code"] == code
    assert answer.json()["detail"]


def test_two_reviewers_are_told_of_each_other(web: Web) -> None:
    client = web.browser()
    client.post("/api/v1/jobs/1/reviews", json={"scans": [1], "verdict": "accept"})

    late = client.post("/api/v1/jobs/1/reviews", json={"scans": [1], "verdict": "reject", "seen": {"1": None}})

    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert client.get("/api/v1/jobs/1/reviews").json()[0]["verdict"] == "accepted"


def test_a_million_ids_are_refused(web: Web) -> None:
    answer = web.browser().post("/api/v1/jobs/1/reviews", json={"scans": list(range(1, 10**6)), "verdict": "accept"})

    assert answer.status_code in (413, 422)


def test_schedules_are_added_edited_run_and_removed(web: Web) -> None:
    client = web.browser()
    body = {"source": str(web.source), "destination": str(web.source.parent / "nightly"), "cron": "@daily"}

    added = client.post("/api/v1/schedules/plates", json=body)
    twin = client.post("/api/v1/schedules/twin", json=body)
    edited = client.put("/api/v1/schedules/plates", json={**body, "cron": "30 2 * * *", "format": "tiff"})
    client.post("/api/v1/schedules/plates/run")
    disabled = client.post("/api/v1/schedules/plates/disable").json()
    enabled = client.post("/api/v1/schedules/plates/enable").json()

    assert (added.status_code, added.json()["cron"]) == (201, "@daily")
    assert "plates" in twin.json()["warnings"][0]
    assert (edited.json()["cron"], edited.json()["options"]["format"]) == ("30 2 * * *", "tiff")
    assert (disabled["enabled"], enabled["enabled"]) == (False, True)
    assert client.get("/api/v1/schedules/plates/history").json()[0]["state"] == "listing"
    assert client.delete("/api/v1/schedules/plates").status_code == 204
    assert [row["name"] for row in client.get("/api/v1/schedules").json()] == ["twin"]


def test_a_schedule_with_a_sample_is_refused(web: Web) -> None:
    client = web.browser()
    body = {"source": str(web.source), "destination": str(web.source.parent / "nightly"), "cron": "@daily"}
    client.post("/api/v1/schedules/plates", json=body)

    added = client.post("/api/v1/schedules/sampled", json={**body, "sample": 5})
    edited = client.put("/api/v1/schedules/plates", json={**body, "sample": 5})

    assert (added.status_code, edited.status_code) == (422, 422)
    assert "a schedule takes no sample" in added.json()["detail"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the queries are tested on both databases
def test_nothing_that_is_sent_makes_it_fail(api_web: Web, engine: Engine) -> None:
    """Requests that an operation's description allows or forbids get no 500, and only answers that are described."""
    make_collection(engine, api_web.source, api_web.destination)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", api_web.app)
    checked = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # each of them can be read, or this raises

        @settings(HYPOTHESIS)
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            response = case.call(base_url="http://127.0.0.1")
            case.validate_response(response, checks=CHECKS)

        call()
        checked += 1
    assert checked >= 24


def test_the_docs_name_every_code_of_an_error() -> None:
    errors = [PhotochromError("x"), NotFound("x"), Conflict("x"), ServiceUnavailable("x"), UsageError("x")]
    codes = {status_and_code(error) for error in errors}
    kinds: list[type[WebError]] = [WebError, *WebError.__subclasses__()]
    codes |= {(kind.status, kind.code) for kind in kinds}
    codes |= set(problems._CODES.items()) | {(413, "too_large"), (414, "too_large")}
    rows = re.findall(r"^\| ([0-9, ]+) \| `([a-z_]+)` \|", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    documented = {(int(status), code) for statuses, code in rows for status in statuses.split(", ")}

    assert documented == codes
    assert {status for status, _ in codes} <= set(problems.TITLES)
