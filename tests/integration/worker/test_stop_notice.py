"""Notices that a machine will be taken away, from real HTTP servers that answer as the clouds' do."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from worker.stop_notice import StopNotice

ACTION = {"action": "terminate", "time": "2026-07-01T12:02:00Z"}


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: a token by PUT, which every GET must carry; 404 until there is a notice."""

    notice: ClassVar[str | None] = None
    valid_token: ClassVar[str] = "first"

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token" and int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self._answer(200 if known else 403, self.valid_token)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != self.valid_token:
            self._answer(401, "")
        elif self.path == "/latest/meta-data/spot/instance-action" and self.notice is not None:
            self._answer(200, self.notice)
        else:
            self._answer(404, "")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class Google(Metadata):
    notice: ClassVar[str | None] = "FALSE"

    def do_GET(self) -> None:
        self._answer(200 if self.headers["Metadata-Flavor"] == "Google" else 403, self.notice or "")


@pytest.fixture(params=[Metadata])
def server(request: pytest.FixtureRequest) -> Iterator[ThreadingHTTPServer]:
    kind = type("Kind", (request.param,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def asked(server: ThreadingHTTPServer, path: str = "/latest/meta-data/spot/instance-action") -> StopNotice:
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
def test_google_says_false_until_it_says_true(server: ThreadingHTTPServer) -> None:
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
    url = f"http://127.0.0.1:{server.server_port}/latest/meta-data/spot/instance-action"
    StopNotice(url, 0.02, lambda notice: (heard.append(notice), happened.set())[0]).start()  # type: ignore[func-returns-value]
    assert not happened.wait(0.2)
    server.RequestHandlerClass.notice = json.dumps(ACTION)  # type: ignore[attr-defined]

    assert happened.wait(5)
    assert [json.loads(each) for each in heard] == [ACTION]
