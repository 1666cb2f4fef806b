"""Notices that a machine will be taken away, from real HTTP servers that answer like those of the clouds."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.metadata_server import AWS_PATH, Google, Metadata, serving
from tests.waiting import PATIENCE_SECONDS
from worker.supervision.spot_notice import StopNotice

ACTION = {"action": "terminate", "time": "2026-07-01T12:02:00Z"}


@pytest.fixture(params=[Metadata])
def server(request: pytest.FixtureRequest) -> Iterator[ThreadingHTTPServer]:
    with serving(request.param) as server:
        yield server


def asked(server: ThreadingHTTPServer, path: str = AWS_PATH) -> StopNotice:
    return StopNotice(f"http://127.0.0.1:{server.server_port}{path}", 0.05, lambda notice: None)


def test_aws_says_nothing_until_it_names_an_action(
    server: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    notice, kind = asked(server), server.RequestHandlerClass
    first = notice.look()
    kind.valid_token, kind.notice = "second", json.dumps(ACTION)  # type: ignore[attr-defined]

    assert first is None
    assert json.loads(notice.look() or "") == ACTION
    assert caplog.messages == []


@pytest.mark.parametrize("server", [Google], indirect=True)
def test_google_s_notice_is_true_and_not_false(server: ThreadingHTTPServer) -> None:
    notice = asked(server, "/computeMetadata/v1/instance/preempted")
    first = notice.look()
    server.RequestHandlerClass.notice = "TRUE"  # type: ignore[attr-defined]

    assert (first, notice.look()) == (None, "TRUE")


def test_a_file_is_a_notice(tmp_path: Path) -> None:
    notice = StopNotice(str(tmp_path / "notice"), 0.05, lambda notice: None)
    first = notice.look()
    (tmp_path / "notice").write_text("maintenance at noon")

    assert (first, notice.look()) == (None, "maintenance at noon")


def test_a_server_that_does_not_answer_is_said_once_and_is_no_notice(
    server: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    notice = asked(server)
    server.shutdown()
    server.server_close()
    with caplog.at_level(logging.WARNING):
        assert [notice.look(), notice.look()] == [None, None]

    assert ["PHOTOCHROM_STOP_NOTICE" in message for message in caplog.messages] == [True]


def test_the_first_notice_is_heard_once(server: ThreadingHTTPServer) -> None:
    heard: list[str] = []
    happened = threading.Event()
    url = f"http://127.0.0.1:{server.server_port}{AWS_PATH}"
    StopNotice(url, 0.02, lambda notice: (heard.append(notice), happened.set())[0]).start()  # type: ignore[func-returns-value]
    assert not happened.wait(0.2)
    server.RequestHandlerClass.notice = json.dumps(ACTION)  # type: ignore[attr-defined]

    assert happened.wait(PATIENCE_SECONDS)
    assert [json.loads(each) for each in heard] == [ACTION]
