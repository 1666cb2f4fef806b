"""Real schedulers send notices: the receiver is away, schedulers are killed, and each event is received once."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import Job, JobState
from db.models.notices import Notice
from db.session import make_engine, read_scope, session_scope
from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import clean_environment
from tests.rows import make_job
from tests.waiting import PATIENCE_SECONDS, wait_until


class Receiver:
    """A webhook that is `away` (answers 503), `hanging` (never answers) or `there`; it keeps what it received."""

    def __init__(self) -> None:
        self.state = "away"
        self.refused = self.hanging = 0
        self.received: list[str] = []
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))["id"]
                self.send_error(receiver.answer(event)) if receiver.state != "there" else self._receive(event)

            def _receive(self, event: str) -> None:
                receiver.received.append(event)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def answer(self, event: str) -> int:
        if self.state == "hanging":
            self.hanging += 1
            self.over.wait(PATIENCE_SECONDS)
        else:
            self.refused += 1
        return 503


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    yield receiver
    receiver.over.set()
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def environment(sqlite_url: str, valkey: ValkeyServer, receiver: Receiver) -> dict[str, str]:
    return clean_environment(
        PHOTOCHROM_DATABASE_URL=sqlite_url,
        PHOTOCHROM_BROKER_URL=valkey.url,
        PHOTOCHROM_NOTICES=receiver.url,
        PHOTOCHROM_NOTICES_SECRET="a secret of ours",
        PHOTOCHROM_NOTICES_ANSWER_SECONDS="1",
        PHOTOCHROM_NOTICES_PAUSE_SECONDS="0.2",
    )


@contextmanager
def scheduler(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "scheduler.log").open("ab") as log:
        command = [sys.executable, "-P", "-m", "scheduler", "scheduler"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


def complete(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1, now=utc_now())
    with session_scope(engine) as session:
        values = {"state": JobState.COMPLETED, "finished_at": utc_now()}
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def all_sent(engine: Engine, count: int) -> bool:
    with read_scope(engine) as session:
        return len(session.scalars(select(Notice).where(Notice.sent_at.is_not(None))).all()) == count


def test_each_notice_arrives_once_though_the_receiver_was_away_and_two_schedulers_were_killed(
    sqlite_url: str, environment: dict[str, str], receiver: Receiver, tmp_path: Path
) -> None:
    engine = make_engine(sqlite_url)
    upgrade(engine)
    complete(engine)
    with scheduler(tmp_path, environment) as first:
        wait_until(lambda: receiver.refused >= 3)  # the receiver is away, and the scheduler tries again
        complete(engine)
        first.send_signal(signal.SIGKILL)
    receiver.state = "hanging"
    with scheduler(tmp_path, environment) as second:
        wait_until(lambda: receiver.hanging >= 1)
        second.send_signal(signal.SIGKILL)  # while it sends
    complete(engine)
    receiver.state = "there"
    with scheduler(tmp_path, environment) as third:
        wait_until(lambda: all_sent(engine, 3))
        third.terminate()
        assert third.wait(PATIENCE_SECONDS) == 0
    with scheduler(tmp_path, environment):  # it looks back a whole day, and has nothing more to send
        complete(engine)
        wait_until(lambda: all_sent(engine, 4))

    jobs = sorted(event.split("/")[1] for event in receiver.received)
    assert jobs == ["1", "2", "3", "4"]
    assert len(set(receiver.received)) == 4


def test_a_scheduler_stops_while_a_receiver_does_not_answer(
    sqlite_url: str, environment: dict[str, str], receiver: Receiver, tmp_path: Path
) -> None:
    engine = make_engine(sqlite_url)
    upgrade(engine)
    complete(engine)
    receiver.state = "hanging"
    with scheduler(tmp_path, {**environment, "PHOTOCHROM_NOTICES_ANSWER_SECONDS": "600"}) as process:
        wait_until(lambda: receiver.hanging >= 1)
        process.terminate()

        assert process.wait(PATIENCE_SECONDS) == 0
