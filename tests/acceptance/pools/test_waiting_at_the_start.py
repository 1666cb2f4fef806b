"""A worker and a scheduler that are started before their services say what they wait for, and then begin."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from db.migrations import upgrade
from db.queries.pool import schedulers, workers
from db.session import make_engine, read_scope
from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import clean_environment
from tests.services import PostgreSQLServer
from tests.waiting import PATIENCE_SECONDS, wait_until

SECRET = "hunter2-hunter2"
STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1", "PHOTOCHROM_CHILDREN": "1"}
Start = Callable[..., tuple["subprocess.Popen[str]", Path]]


@pytest.fixture
def start(tmp_path: Path, sqlite_url: str) -> Iterator[Start]:
    """Starts `photochrom NAME`, and returns the process and the path of its log."""
    upgrade(make_engine(sqlite_url))
    with ExitStack() as running:

        def start(name: str, **settings: str) -> tuple["subprocess.Popen[str]", Path]:
            log = tmp_path / f"{name}.log"
            settings = {"PHOTOCHROM_DATABASE_URL": sqlite_url, **STAND_IN, **settings}
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler", name],
                cwd=tmp_path,
                env=clean_environment(**settings),
                stderr=running.enter_context(log.open("w")),
                text=True,
            )
            running.callback(process.wait, PATIENCE_SECONDS)
            running.callback(process.terminate)
            return process, log

        yield start


@pytest.mark.parametrize("name", ["scheduler", "worker"])
@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("PHOTOCHROM_DATABASE_URL", f"postgresql://clerk:{SECRET}@127.0.0.1:9/photochrom"),
        ("PHOTOCHROM_BROKER_URL", f"redis://:{SECRET}@127.0.0.1:9/0"),
    ],
)
def test_it_says_what_it_waits_for_with_growing_pauses_and_stops_when_told(
    start: Start, name: str, setting: str, url: str
) -> None:
    process, log = start(name, **{setting: url})
    wait_until(lambda: log.read_text().count("trying again") >= 3)
    process.terminate()

    assert process.wait(PATIENCE_SECONDS) == 0
    said = log.read_text()
    assert [f"trying again in {pause} s" in said for pause in (1, 2, 4)] == [True] * 3
    assert "127.0.0.1:9" in said
    assert setting in said
    assert SECRET not in said


def test_a_broker_that_accepts_and_never_answers_is_waited_for(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        _, log = start("scheduler", PHOTOCHROM_BROKER_URL=f"redis://:{SECRET}@127.0.0.1:{port}/0")
        wait_until(lambda: "trying again" in log.read_text())

    assert str(port) in log.read_text()


def test_both_begin_once_the_database_is_there(
    start: Start, postgresql_server: PostgreSQLServer, postgresql_url: str, valkey: ValkeyServer
) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    engine.dispose()
    postgresql_server.stop()
    settings = {"PHOTOCHROM_DATABASE_URL": postgresql_url, "PHOTOCHROM_BROKER_URL": valkey.url}
    logs = [start(name, **settings)[1] for name in ("scheduler", "worker")]
    wait_until(lambda: all("trying again" in log.read_text() for log in logs))
    postgresql_server.start()

    def both_live() -> bool:
        with read_scope(engine) as session:
            return bool(schedulers.last_heard(session) and workers.last_heard(session))

    wait_until(both_live)
    engine.dispose()
