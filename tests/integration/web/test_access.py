"""Who may do what: each role on each route, each way to sign in, and who is refused."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Engine, select

from db.clock import utc_now
from db.models.access import AuditEntry, Role
from db.models.jobs import Job, JobState, Scan
from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.jobs import lifecycle
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import users
from scheduler.web.api import api_router
from scheduler.web.api.schemas import SubmissionBody
from scheduler.web.auth.throttle import TRIES_OF_NAME, Throttle
from scheduler.web.context import Requires
from scheduler.web.pages import page_router
from tests.integration.web.conftest import Web, form, make_web, write_picture
from worker.errors import UsageError

ADA = Actor("ada")
PASSWORD = "correct horse battery"
DAY = timedelta(days=1)
OPEN = {"/sign-in", "/sign-out", "/live", "/ready"}  # for people who have not signed in


def routes() -> Iterator[tuple[str, APIRoute]]:
    """All routes with their whole paths."""
    pending = [("/api/v1", route) for route in api_router.routes] + [("", route) for route in page_router.routes]
    while pending:
        prefix, route = pending.pop()
        if isinstance(route, APIRoute):
            yield prefix + route.path.removeprefix(prefix), route
        else:
            pending += [(prefix, inner) for inner in route.original_router.routes]  # type: ignore[attr-defined]


def role_of(route: APIRoute) -> str | None:
    pending = [route.dependant]
    while pending:
        dependant = pending.pop()
        if isinstance(dependant.call, Requires):
            return dependant.call.role
        pending += dependant.dependencies
    return None


def concrete(path: str) -> str:
    for name, value in {
        "{job_id}": "1", "{scan_id}": "1", "{side}": "after", "{size}": "small", "{level}": "0", "{column}": "0",
        "{row}": "0", "{name}": "plates",
    }.items():  # fmt: skip
        path = path.replace(name, value)
    return path


def token(engine: Engine, role: str, **limits: object) -> dict[str, str]:
    users.add(engine, role, ADA, role=role, password=None, **limits)  # type: ignore[arg-type]
    _, secret = users.new_token(engine, role, ADA, label="test")
    return {"Authorization": f"Bearer {secret}"}


def test_each_role_may_what_it_may_on_each_route_and_nothing_more(web: Web, engine: Engine) -> None:
    headers = {role: token(engine, role) for role in Role.ALL}
    checked = 0
    for path, route in routes():
        needed = role_of(route)
        if path in OPEN:
            assert needed is None
            continue
        assert needed is not None, f"{path} is open to everybody"
        for method in route.methods or ():
            for role in Role.ALL:
                answer = web.browser(**headers[role]).request(
                    method, concrete(path), data=form(), follow_redirects=False
                )
                refused = Role.ALL.index(role) < Role.ALL.index(needed)
                assert (answer.status_code == 403) == refused, (method, path, role, answer.text[:300])
                assert answer.status_code < 500, (method, path, role, answer.text[:300])
                checked += 1
            stranger = web.browser(Authorization="Bearer nothing")
            nobody = stranger.request(method, concrete(path), data=form(), follow_redirects=False)
            assert nobody.status_code in (401, 303), (method, path)
    assert checked > 100


def test_without_an_account_this_machine_s_user_is_the_operator(web: Web) -> None:
    page = web.browser().get("/jobs").text

    assert ", operator</span>" in page


def test_with_an_account_everybody_signs_in(web: Web, engine: Engine) -> None:
    users.add(engine, "ada", ADA, role="reviewer", password=PASSWORD)
    browser = web.browser()
    asked = browser.get("/jobs/1?state=done")
    wrong = browser.post("/sign-in", data=form(name="ada", password="wrong horse battery"))
    right = browser.post("/sign-in", data=form(name="ada", password=PASSWORD, next="/jobs/1"))

    assert asked.url.path == "/sign-in"
    assert (wrong.status_code, right.url.path) == (401, "/jobs/1")
    assert "ada, reviewer" in right.text
    browser.post("/sign-out", data=form())
    assert browser.get("/jobs").url.path == "/sign-in"


def test_too_many_failed_sign_ins_must_wait(web: Web, engine: Engine) -> None:
    users.add(engine, "ada", ADA, role="viewer", password=PASSWORD)
    browser = web.browser()
    for _ in range(TRIES_OF_NAME):
        browser.post("/sign-in", data=form(name="ada", password="wrong horse battery"))

    answer = browser.post("/sign-in", data=form(name="ada", password=PASSWORD))

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_a_throttle_counts_by_name_and_address_and_forgets_after_a_while() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(TRIES_OF_NAME):
        throttle.note_failure("ada", "10.0.0.1")

    assert throttle.wait_seconds("ada", "10.0.0.1") > 0
    assert throttle.wait_seconds("ada", "10.0.0.2") == 0
    now[0] = 1000.0
    assert throttle.wait_seconds("ada", "10.0.0.1") == 0


def test_only_a_named_proxy_says_who_somebody_is(engine: Engine, web: Web) -> None:
    users.add(engine, "ada", ADA, role="operator", password=None)
    folder = web.source.parent
    trusted = make_web(engine, folder / "t", web.source, web.destination, web_proxy_addresses="10.0.0.0/8")
    browser = trusted.browser(**{"X-Forwarded-User": "ada"})

    untrusted = browser.get("/api/v1/jobs")
    browser._transport.client = ("10.1.2.3", 1)  # type: ignore[attr-defined]
    known = browser.get("/api/v1/jobs")
    stranger = browser.get("/api/v1/jobs", headers={"X-Forwarded-User": "eve"})

    assert [answer.status_code for answer in (untrusted, known, stranger)] == [401, 200, 403]


def test_a_token_is_scoped_expires_and_can_be_revoked(web: Web, engine: Engine) -> None:
    users.add(engine, "robot", ADA, role="operator", password=None)
    number, secret = users.new_token(engine, "robot", ADA, label="boxes", role="viewer")
    client = web.browser(Authorization=f"Bearer {secret}")

    assert client.get("/api/v1/jobs").status_code == 200
    assert client.post("/api/v1/jobs/1/pause").status_code == 403
    users.revoke_token(engine, number, ADA)
    assert client.get("/api/v1/jobs").status_code == 401
    users.add(engine, "small", ADA, role="viewer", password=None)
    with pytest.raises(UsageError, match="choose at most viewer"):
        users.new_token(engine, "small", ADA, label="x", role="operator")


def test_a_role_may_be_limited_to_places(web: Web, engine: Engine) -> None:
    elsewhere = token(engine, "operator", prefixes=["s3://other"])
    within = token(engine, "viewer", prefixes=[str(web.source), str(web.destination)])

    assert web.browser(**elsewhere).get("/api/v1/jobs").json()["jobs"] == []
    assert web.browser(**elsewhere).get("/api/v1/jobs/1").status_code == 404
    assert web.browser(**elsewhere).get("/jobs/1/scans/1/after/small.jpg").status_code == 404
    body = {"source": str(web.source), "destination": str(web.destination)}
    assert web.browser(**elsewhere).post("/api/v1/jobs", json=body).status_code == 403
    assert web.browser(**within).get("/api/v1/jobs/1").status_code == 200


def test_the_doctor_names_only_schedules_within_the_places_of_who_asks(web: Web, engine: Engine) -> None:
    now = utc_now()
    places = {"source": str(web.source), "destination": str(web.destination), "options": {}}
    with session_scope(engine) as session:
        schedule = schedules.add(
            session, name="plates", **places, cron="0 1 * * *", timezone="UTC", next_due_at=now, now=now
        )
        schedules.fail(session, schedule, "the bucket is gone", next_due_at=now + timedelta(days=1), now=now)
    elsewhere = token(engine, "operator", prefixes=["s3://other"])
    users.add(engine, "grace", ADA, role="operator", password=None, prefixes=[str(web.source), str(web.destination)])
    _, secret = users.new_token(engine, "grace", ADA, label="test")
    within = {"Authorization": f"Bearer {secret}"}

    assert "the bucket is gone" in web.browser(**within).post("/pool/doctor", data=form()).text
    hidden = web.browser(**elsewhere).post("/pool/doctor", data=form()).text
    assert "is at revision" in hidden
    assert "plates" not in hidden


def test_no_route_of_a_job_shows_or_changes_one_outside_somebody_s_places(web: Web, engine: Engine) -> None:
    elsewhere = web.browser(**token(engine, "operator", prefixes=["s3://other"]))
    checked = 0
    for path, route in routes():
        if "{job_id}" not in path:
            continue
        for method in route.methods or ():
            there, nowhere = (
                elsewhere.request(method, address, **_body(path), follow_redirects=False)
                for address in (concrete(path), concrete(path).replace("/jobs/1", "/jobs/99", 1))
            )
            # A job that somebody may not see is answered as one that does not exist.
            assert (there.status_code, nowhere.status_code) == (404, 404), (method, path, there.text[:300])
            assert "a box" not in there.text, (method, path)
            checked += 1
    assert checked > 25
    with read_scope(engine) as session:
        job = session.get_one(Job, 1)
        assert (job.state, job.priority) == (JobState.COMPLETED, 0)
        assert session.scalars(select(Scan.verdict).where(Scan.verdict.is_not(None))).all() == []


def add_schedule(engine: Engine, name: str, source: object, destination: object) -> None:
    now = utc_now()
    with session_scope(engine) as session:
        places = {"source": str(source), "destination": str(destination), "options": {}}
        schedules.add(session, name=name, **places, cron="0 1 * * *", timezone="UTC", next_due_at=now + DAY, now=now)


def schedules_as_stored(engine: Engine) -> list[tuple[object, ...]]:
    with read_scope(engine) as session:
        return [tuple(row) for row in session.execute(select(*Schedule.__table__.columns).order_by(Schedule.id))]


def test_no_route_of_a_schedule_shows_or_changes_one_outside_somebody_s_places(web: Web, engine: Engine) -> None:
    add_schedule(engine, "plates", web.source, web.destination)
    elsewhere, before = web.browser(**token(engine, "operator", prefixes=["s3://other"])), schedules_as_stored(engine)
    times = {"cron": "@daily", "source": "s3://other/in", "destination": "s3://other/out"}
    checked = 0
    for path, route in routes():
        is_named = "/schedules/{name}" in path or path in ("/schedules/one", "/schedules/control")
        for method in route.methods or ():
            if "/schedules" not in path or (method, path) == ("POST", "/api/v1/schedules/{name}"):  # adds a new one
                continue
            body = {"json": times} if path.startswith("/api/") else {"data": form(**times, action="remove")}
            there, nowhere = (
                elsewhere.request(method, path.replace("{name}", name), params={"name": name}, **body)
                for name in ("plates", "nothing")
            )
            # A schedule that somebody may not see is answered as one that does not exist.
            if is_named:
                assert (there.status_code, nowhere.status_code) == (404, 404), (method, path, there.text[:300])
            assert str(web.source) not in there.text, (method, path)
            checked += 1
    assert checked > 12
    assert schedules_as_stored(engine) == before


SUBMISSIONS = (
    *(("POST", "/api/v1/jobs"), ("POST", "/api/v1/jobs?dry_run=true"), ("POST", "/api/v1/jobs?wait=false")),
    *(("POST", "/api/v1/schedules/nightly"), ("PUT", "/api/v1/schedules/{name}")),
    *(("POST", "/jobs/new"), ("POST", "/schedules/new"), ("POST", "/schedules/one?name={name}")),
)


@pytest.mark.parametrize("field", ["source", "destination", "manifest"])
def test_nothing_is_submitted_from_or_to_a_place_outside_somebody_s_prefixes(
    web: Web, engine: Engine, tmp_path: Path, field: str
) -> None:
    own = tmp_path / "own"
    write_picture(own / "in" / "1.jpg", 1, bands=1)
    add_schedule(engine, "mine", own / "in", own / "out")
    browser, before = web.browser(**token(engine, "operator", prefixes=[str(own)])), schedules_as_stored(engine)
    outside = {"source": web.source, "destination": tmp_path / "elsewhere", "manifest": web.source / "list"}
    places = {"source": own / "in", "destination": own / "out", field: outside[field]}
    body: dict[str, object] = {name: str(place) for name, place in places.items()}

    for method, path in SUBMISSIONS:
        address, times = path.replace("{name}", "mine"), {"cron": "@daily"} if "schedules" in path else {}
        if path.startswith("/api/"):
            answers = [browser.request(method, address, json={**body, **times})]
        else:
            fields = {**body, **times, "schedule": "nightly"}
            actions = ("look", "submit")
            answers = [browser.request(method, address, data=form(**fields, action=action)) for action in actions]
        for answer in answers:
            assert answer.status_code == (403 if path.startswith("/api/") else 422), (path, answer.text[:300])
            assert "is outside the prefixes that operator may use" in answer.text, path

    assert not (tmp_path / "elsewhere").exists()
    assert schedules_as_stored(engine) == before
    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=9) == [1]


def test_the_matrix_of_submissions_has_every_route_of_the_api_that_takes_one() -> None:
    taking = {
        (method, path)
        for path, route in routes()
        for method in route.methods or ()
        for parameter in route.dependant.body_params
        if isinstance(body := parameter.field_info.annotation, type) and issubclass(body, SubmissionBody)
    }

    assert taking == {
        (method, path.partition("?")[0].replace("nightly", "{name}"))
        for method, path in SUBMISSIONS
        if path.startswith("/api/")
    }


def _body(path: str) -> dict[str, object]:
    """A body that each route with this path would take."""
    if path.startswith("/api/"):
        body = {"scans": [1], "verdict": "accept", "priority": 1, "choice": "take"}
        wanted = {
            "reviews": ("scans", "verdict"),
            "priority": ("priority",),
            "redo": ("scans",),
            "choose": ("scans", "choice"),
        }
        return {"json": {name: body[name] for name in wanted.get(path.rpartition("/")[2], ())}}
    seen = "1:0" if path.endswith("verdicts") else "0"
    fields = {"action": "pause" if path.endswith("control") else "accept", "scan": "1", "seen": seen, "chosen": "new"}
    return {"data": form(**fields)}


def test_a_change_that_another_site_asks_for_is_refused(web: Web) -> None:
    browser = web.browser()

    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.post("/api/v1/jobs/1/cancel", headers=headers).status_code == 403
        assert browser.post("/jobs/1/control", data=form(action="cancel"), headers=headers).status_code == 403
    assert browser.post("/jobs/1/control", data={"action": "cancel"}).status_code == 403  # no token in the form


def test_the_local_operator_is_nobody_else(web: Web) -> None:
    assert web.browser(Host="evil.example").get("/jobs").status_code == 403
    assert web.browser(**{"X-Forwarded-For": "1.2.3.4"}).get("/jobs").status_code == 403


def test_cookies_are_not_for_scripts_and_go_by_tls_where_the_pages_do(engine: Engine, web: Web) -> None:
    secure = make_web(engine, web.source.parent / "s", web.source, web.destination, web_url="https://p.example")
    browser = secure.browser()
    browser.cookies.clear()

    cookie = browser.get("/sign-in").headers["set-cookie"]

    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    assert "SameSite=lax" in cookie


def test_actions_are_recorded_with_their_actor(web: Web, engine: Engine) -> None:
    headers = token(engine, "reviewer")
    web.browser(**headers).post("/api/v1/jobs/1/reviews", json={"scans": [1], "verdict": "accept"})

    with read_scope(engine) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor, entry.via, entry.action) for entry in entries] == [
        ("ada", "local", "user_add"),
        ("ada", "local", "token_add"),
        ("reviewer", "token", "accept"),
    ]
    assert not any("photochrom_" in str(entry.detail) for entry in entries)


def test_next_never_leads_to_another_site(web: Web, engine: Engine) -> None:
    users.add(engine, "ada", ADA, role="viewer", password=PASSWORD)
    for address in ("https://evil.example", "//evil.example", "/\\evil.example"):
        answer = web.browser().post(
            "/sign-in", data=form(name="ada", password=PASSWORD, next=address), follow_redirects=False
        )
        assert answer.headers["location"] == "/jobs"


def test_who_has_not_signed_in_is_not_told_where_the_database_is(web: Web) -> None:
    web.app.state.health.turn("the database postgresql://db.internal:5432/x can't be reached")  # type: ignore[attr-defined]

    answer = web.browser().get("/ready")

    assert (answer.status_code, answer.text) == (503, "the job database can't be reached\n")
