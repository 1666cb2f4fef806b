"""Each receiver gets each notice once, even if it was away or schedulers were killed."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update

from db.clock import utc_now
from db.models.jobs import Chunk, Job, JobState, Scan
from db.models.notices import Notice
from db.models.pool import Worker
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import notices
from db.queries.access import audit
from db.queries.jobs import lifecycle, submissions
from db.queries.pool import workers
from db.session import read_scope, session_scope
from scheduler.doctor.stalled_jobs import undelivered
from scheduler.notices.events import digest, recent_events
from scheduler.notices.outbox import STOP_SECONDS, Outbox
from scheduler.notices.receivers import receivers
from tests.acceptance.command import photochrom_here
from tests.rows import make_job
from tests.waiting import wait_until
from worker.errors import UsageError
from worker.settings.settings import Settings

SECRET = "a secret of ours"


class Receiver:
    """A webhook that answers as it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        self.signed: list[bool] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.status == 200:
                    outer.bodies.append(json.loads(body))
                    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
                    outer.signed.append(self.headers["x-photochrom-signature"] == f"sha256={expected}")
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def outbox(engine: Engine, receiver: Receiver, **more: Any) -> Outbox:
    """The outbox of a scheduler that was just started."""
    settings = Settings(notices=receiver.url, notices_secret=SECRET, web_url="https://p.example", **more)
    return Outbox(engine, settings)


def tell(box: Outbox) -> None:
    box.collect()
    box.send_due()


def end_pauses(engine: Engine) -> None:
    with session_scope(engine) as session:
        session.execute(update(Notice).values(next_try_at=utc_now() - timedelta(seconds=1)))


def complete(engine: Engine) -> int:
    job_id = make_job(engine, scan_count=3, now=utc_now())
    with session_scope(engine) as session:
        values = {"state": JobState.COMPLETED, "finished_at": utc_now()}
        session.execute(update(Job).where(Job.id == job_id).values(**values))
    return job_id


def test_a_notice_of_a_completed_job_has_a_signature_and_a_link(engine: Engine, receiver: Receiver) -> None:
    complete(engine)

    tell(outbox(engine, receiver))

    [body] = receiver.bodies
    assert (body["specversion"], body["type"]) == ("1.0", "org.photochrom.job.completed")
    assert body["data"]["link"] == "https://p.example/jobs/1"
    assert "Job 1, a box: 0 scans done, 0 failed" in body["data"]["text"]
    assert receiver.signed == [True]


def test_each_notice_arrives_once_though_the_receiver_was_away_and_schedulers_were_killed(
    engine: Engine, receiver: Receiver
) -> None:
    receiver.status = 503
    complete(engine)
    tell(outbox(engine, receiver))
    complete(engine)
    killed = outbox(engine, receiver)
    killed.collect()  # this scheduler never sends
    with session_scope(engine) as session:
        notices.claim(
            session, next(iter(killed._senders)), now=utc_now(), sending=timedelta(minutes=2)
        )  # and is killed while it sends
    receiver.status = 200
    end_pauses(engine)

    for _ in range(3):
        tell(outbox(engine, receiver))
        end_pauses(engine)

    assert sorted(body["id"].rpartition("/")[0] for body in receiver.bodies) == ["job/1/completed", "job/2/completed"]


def test_a_receiver_that_is_away_is_tried_again_later_and_status_may_say_so(engine: Engine, receiver: Receiver) -> None:
    receiver.status = 500
    complete(engine)
    tell(outbox(engine, receiver))

    with read_scope(engine) as session:
        [sentence] = undelivered(session)
        [notice] = session.scalars(select(Notice))
    assert notice.sent_at is None
    assert sentence.startswith("1 notice not received yet")
    assert "it answered 500" in sentence
    assert notice.next_try_at > utc_now()


def test_of_two_schedulers_that_saw_one_event_at_once_one_adds_it_and_neither_ends(
    engine: Engine, receiver: Receiver
) -> None:
    complete(engine)
    box, name, now = outbox(engine, receiver), next(iter(outbox(engine, receiver)._senders)), utc_now()
    with read_scope(engine) as session:
        [occurrence] = recent_events(session, now)
        job_event = occurrence.event()
    assert job_event is not None

    for _ in range(2):
        box.add(job_event, name, now)

    with read_scope(engine) as session:
        assert len(session.scalars(select(Notice)).all()) == 1


def test_a_notice_that_was_given_up_is_not_said_to_be_tried_again(engine: Engine, receiver: Receiver) -> None:
    receiver.status = 500
    complete(engine)
    tell(outbox(engine, receiver))
    with session_scope(engine) as session:
        session.execute(update(Notice).values(given_up_at=utc_now()))

    with read_scope(engine) as session:
        assert undelivered(session) == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.example.org/services/T0/B0/SECRET", "https://hooks.example.org"),
        ("https://me:SECRET@hooks.example.org/x?key=SECRET", "https://hooks.example.org"),
        ("https://[SECRET", "https://..."),
    ],
)
def test_of_a_webhook_only_scheme_and_host_are_shown(address: str, shown: str) -> None:
    [receiver] = receivers(Settings(notices=address, notices_secret=SECRET))

    assert receiver.shown == shown


def test_no_notice_is_sent_for_cancelled_jobs_and_jobs_of_samples(engine: Engine, receiver: Receiver) -> None:
    cancelled, sample = make_job(engine, scan_count=1), complete(engine)
    with session_scope(engine) as session:
        lifecycle.change_state(session, cancelled, JobState.CANCELLED, now=utc_now())
        session.execute(update(Job).where(Job.id == sample).values(selection={"sample_of": 7}))

    tell(outbox(engine, receiver))

    assert receiver.bodies == []


def test_notices_are_sent_for_a_failed_schedule_an_aborted_job_and_a_pool_without_workers(
    engine: Engine, receiver: Receiver
) -> None:
    aborted = make_job(engine, scan_count=1)
    make_job(engine, scan_count=1, now=utc_now() - timedelta(hours=2))
    with session_scope(engine) as session:
        session.execute(
            update(Job).where(Job.id == aborted).values(state="aborted", finished_at=utc_now(), max_failures=0)
        )
        places = {"source": "s3://a/b", "destination": "s3://c/d", "options": {}, "cron": "0 1 * * *"}
        schedule = Schedule(name="plates", **places, timezone="UTC", enabled=False, created_at=utc_now())
        session.add(schedule)
        session.flush()
        failed = {"state": FiringState.FAILED, "message": "no such bucket", "fired_at": utc_now()}
        session.add(Firing(schedule_id=schedule.id, **failed))

    tell(outbox(engine, receiver))

    kinds = sorted(body["data"]["kind"] for body in receiver.bodies)
    assert kinds == ["job.aborted", "pool.no_worker", "schedule.failed"]


def test_a_notice_and_the_digest_tell_of_a_job_whose_source_cannot_be_listed(
    engine: Engine, receiver: Receiver
) -> None:
    now = utc_now()
    with session_scope(engine) as session:
        for number in (1, 2):
            places = {"source": f"s3://scans/{number}", "destination": f"s3://out/{number}"}
            job_id = lifecycle.create(session, name="a box", options={}, priority=0, now=now, **places)
            submissions.leave_to_schedulers(session, job_id, {}, submitted_by="ada", now=now)
        attempts = [each.attempt for each in submissions.take_waiting(session, 2, now=now, lease_seconds=60)]
        assert submissions.give_up(session, attempts[0], "no such bucket", now=now)
        submissions.hold(session, attempts[1], until=now, noted={"problem": "no answer"})
        lifecycle.change_state(session, attempts[1].job_id, JobState.CANCELLED, now=now)  # a person does this

    for _ in range(2):
        tell(outbox(engine, receiver, notices_digest_hour=0))

    told, day = sorted(receiver.bodies, key=lambda body: str(body["data"]["kind"]), reverse=True)
    assert (told["type"], told["data"]["data"]) == ("org.photochrom.job.listing_failed", {"job": 1})
    assert told["data"]["text"] == "Job 1, a box, was cancelled before its first scan: no such bucket"
    assert day["data"]["text"].splitlines()[:2] == [
        "Job 1, a box: cancelled, 0 done, 0 failed. It was not begun: no such bucket",
        "Job 2, a box: cancelled, 0 done, 0 failed.",
    ]


def test_a_notice_is_sent_when_a_sample_is_coloured_and_of_failed_scans(engine: Engine, receiver: Receiver) -> None:
    waiting, tried, failing = make_job(engine, scan_count=3), complete(engine), complete(engine)
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == waiting).values(state=JobState.SAMPLED))
        session.execute(
            update(Job)
            .where(Job.id == tried)
            .values(selection={"sample_of": waiting}, state="running", finished_at=None)
        )
        session.execute(update(Scan).where(Scan.job_id == failing).values(state="failed", error_code="empty"))
        session.execute(update(Chunk).where(Chunk.job_id == failing).values(state="done", failed_count=3))
    tell(outbox(engine, receiver))
    assert [body["data"]["kind"] for body in receiver.bodies] == ["job.completed_with_failures"]
    assert receiver.bodies[0]["data"]["data"] == {"job": failing, "done": 0, "failed": 3, "skipped": 0}

    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == tried).values(state="completed", finished_at=utc_now()))
    for _ in range(2):
        tell(outbox(engine, receiver))

    [_, sample] = receiver.bodies
    assert (sample["type"], sample["data"]["data"]) == ("org.photochrom.job.sampled", {"job": waiting})
    assert sample["data"]["link"] == f"https://p.example/jobs/{waiting}/sample"


def test_a_receiver_of_apprise_gets_title_text_and_link_and_is_tried_again(engine: Engine, receiver: Receiver) -> None:
    complete(engine)
    address = receiver.url.replace("http://", "json://")
    box = Outbox(engine, Settings(notices=address, web_url="https://p.example"))
    receiver.status = 500
    tell(box)
    with read_scope(engine) as session:
        [sentence] = undelivered(session)
    receiver.status = 200
    end_pauses(engine)

    for _ in range(2):
        tell(box)

    assert "Apprise could not send it" in sentence
    [body] = receiver.bodies
    assert body["title"] == "Photochrom: a box is completed"
    assert body["message"].startswith("Job 1, a box: 0 scans done")
    assert body["message"].endswith("https://p.example/jobs/1")


def test_a_schedule_that_fails_after_hours_of_tries_is_told_by_the_scheduler_that_looked_before(
    engine: Engine, receiver: Receiver
) -> None:
    box, fired_at = outbox(engine, receiver), utc_now() - timedelta(hours=4)
    with session_scope(engine) as session:
        places = {"source": "s3://a/b", "destination": "s3://c/d", "options": {}, "cron": "0 1 * * *"}
        schedule = Schedule(name="plates", **places, timezone="UTC", enabled=False, created_at=fired_at)
        session.add(schedule)
        session.flush()
        listing = {"state": FiringState.LISTING, "fired_at": fired_at, "lease_expires_at": utc_now()}
        session.add(Firing(schedule_id=schedule.id, **listing))
    box.collect()
    with session_scope(engine) as session:
        failed = {"state": FiringState.FAILED, "message": "given up after 12 tries", "lease_expires_at": None}
        session.execute(update(Firing).values(failed))

    for _ in range(2):
        box.collect()
        box.send_due()

    [body] = receiver.bodies
    assert body["data"]["kind"] == "schedule.failed"


def test_a_schedule_that_fails_more_than_a_day_after_it_fired_is_told_once(engine: Engine, receiver: Receiver) -> None:
    now = utc_now()
    with session_scope(engine) as session:
        places = {"source": "s3://a/b", "destination": "s3://c/d", "options": {}, "cron": "0 1 * * *"}
        schedule = Schedule(name="plates", **places, timezone="UTC", enabled=False, created_at=now)
        session.add(schedule)
        session.flush()
        failed = {"schedule_id": schedule.id, "state": FiringState.FAILED, "message": "given up after 12 tries"}
        for hours in (49, 25):
            session.add(Firing(**failed, fired_at=now - timedelta(hours=hours)))
            session.flush()

    for _ in range(2):
        tell(outbox(engine, receiver))

    assert [body["id"] for body in receiver.bodies] == ["firing/2"]  # the one before is history


def test_a_receiver_that_does_not_answer_holds_up_neither_the_others_nor_a_stop(
    engine: Engine, receiver: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        both = Settings(notices=f"{silent_url} {receiver.url}", notices_secret=SECRET, notices_answer_seconds=600)
        box = Outbox(engine, both)
        for _ in range(2):
            complete(engine)
        box.round()
        wait_until(lambda: len(receiver.bodies) == 2)
        began = time.monotonic()
        box.stop()

        assert time.monotonic() - began < STOP_SECONDS + 5


def test_the_notice_that_no_worker_runs_is_sent_once_for_each_silence_after_an_hour_of_waiting(
    engine: Engine, receiver: Receiver
) -> None:
    now = utc_now()
    first, second = (make_job(engine, scan_count=1, now=now - timedelta(hours=hours)) for hours in (30, 20))
    with session_scope(engine) as session:
        for job_id in (first, second):
            audit.note(session, "ada", "local", "resume", now=now - timedelta(minutes=59), job_id=job_id)

    def names(later: timedelta) -> list[str]:
        with read_scope(engine) as session:
            return [occurrence.name for occurrence in recent_events(session, now + later)]

    assert names(timedelta(0)) == []  # the jobs were paused until 59 minutes ago
    assert names(timedelta(minutes=2)) == ["no-worker/ever"]
    with session_scope(engine) as session:
        lifecycle.change_state(session, first, JobState.CANCELLED, now=now)
    assert names(timedelta(hours=3)) == ["no-worker/ever"]  # another job waits in the same silence
    with session_scope(engine) as session:
        workers.register(session, Worker(name="w", children=1, started_at=now, heartbeat_at=now))
    assert names(timedelta(minutes=59)) == []
    assert names(timedelta(minutes=61)) == [f"no-worker/{now.isoformat()}"]


def test_a_second_look_reads_no_job_that_was_told(engine: Engine, receiver: Receiver) -> None:
    for _ in range(5):
        complete(engine)
    box = outbox(engine, receiver)
    box.collect()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    box.collect()

    assert not [statement for statement in statements if "job_progress" in statement]


def test_a_digest_is_sent_once_a_day(engine: Engine, receiver: Receiver) -> None:
    complete(engine)
    for _ in range(2):
        tell(outbox(engine, receiver, notices_digest_hour=0))

    digests = [body["data"]["text"] for body in receiver.bodies if body["data"]["kind"] == "digest"]
    assert len(digests) == 1
    assert "Job 1, a box: completed" in digests[0]


def test_a_job_that_ends_between_two_digests_is_in_one_of_them(
    engine: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedulers look every few seconds, so the time of a digest moves a little from day to day."""
    six, looked_at = datetime(2026, 7, 1, 6, tzinfo=UTC), list[datetime]()
    monkeypatch.setattr("scheduler.notices.outbox.database_now", lambda _: looked_at[-1])
    ended_at = six + timedelta(seconds=2)
    job_id = complete(engine)
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == job_id).values(finished_at=ended_at))
    box = outbox(engine, receiver, notices_digest_hour=6)

    for look in (timedelta(seconds=0.1), timedelta(days=1, seconds=3.1)):
        looked_at.append(six + look)
        box.collect()

    with read_scope(engine) as session:
        digests = select(Notice).where(Notice.event.startswith("digest/")).order_by(Notice.id)
        texts = [notice.content["text"] for notice in session.scalars(digests)]
    assert "Job 1, a box: completed" in texts[1]


def test_a_digest_after_months_without_one_lists_a_week(engine: Engine) -> None:
    now = utc_now()
    for days in (6, 8):
        job_id = complete(engine)
        with session_scope(engine) as session:
            session.execute(update(Job).where(Job.id == job_id).values(finished_at=now - timedelta(days=days)))

    with read_scope(engine) as session:
        text = digest(session, now, since=now - timedelta(days=90)).text

    assert text.splitlines()[:-1] == ["Job 1, a box: completed, 0 done, 0 failed."]


def test_a_webhook_without_a_secret_and_what_is_no_address_are_refused() -> None:
    with pytest.raises(UsageError, match="PHOTOCHROM_NOTICES_SECRET"):
        receivers(Settings(notices="https://example.org/hook"))
    with pytest.raises(UsageError, match="not an address that Apprise knows"):
        receivers(Settings(notices="carrierpigeon://loft"))


def test_a_test_notice_says_which_receiver_got_it(receiver: Receiver, tmp_path: Path) -> None:
    settings = {"PHOTOCHROM_NOTICES": receiver.url, "PHOTOCHROM_NOTICES_SECRET": SECRET}
    received = photochrom_here("notices", "test", folder=tmp_path, **settings)
    receiver.status = 500
    refused = photochrom_here("notices", "test", folder=tmp_path, **settings)

    assert (received.returncode, received.stdout) == (0, "http://127.0.0.1: received\n")
    assert refused.returncode == 3
    assert "it answered 500" in refused.stdout
