"""Log lines in JSON name the job, the chunk and the scan that they are about."""

import json
import logging
import sys

import pytest

from worker.observability.logs import JsonLines, TextLines, json_of, log_context


def line(message: str = "said", **extra: object) -> dict[str, object]:
    record = logging.getLogger("worker.tasks.colorize_chunk").makeRecord(
        "worker.tasks.colorize_chunk", logging.INFO, "file", 1, message, (), None, extra=extra
    )
    return dict(json.loads(JsonLines().format(record)))


def test_a_line_names_what_it_is_about() -> None:
    with log_context(worker="w", job=1, chunk=2), log_context(scan=3):
        said = line()

    assert {name: said[name] for name in ("worker", "job", "chunk", "scan", "message")} == {
        "worker": "w",
        "job": 1,
        "chunk": 2,
        "scan": 3,
        "message": "said",
    }
    assert "job" not in line()
    assert line(chunk=7)["chunk"] == 7


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "file", 1, "%d%%", (5,), (type(error), error, None))

    formatted = JsonLines().format(record)

    assert "\n" not in formatted
    assert json.loads(formatted)["exception"].endswith("ValueError: two\nlines")
    assert json.loads(formatted)["message"] == "5%"


@pytest.mark.parametrize("said", [b"W0000 from a library\n", b"caf\xe9\n", b"\xff\n"])
def test_lines_of_libraries_become_json(said: bytes) -> None:
    assert json.loads(json_of(said))["logger"] == "standard error"
    assert json_of(b'{"a": 1}\n') == b'{"a": 1}\n'


def test_a_key_cannot_forge_a_line_of_the_text_log() -> None:
    key = "a.tif\n2026-01-01 00:00:00,000 INFO worker: all scans are done\x1b[2J\u2028"
    try:
        raise ValueError(key)
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "file", 1, "%s failed", (key,), sys.exc_info())

    lines = TextLines("%(levelname)s: %(message)s").format(record).split("\n")

    assert [line for line in lines if not line.startswith("    ")] == [lines[0]]
    assert lines[0].startswith("ERROR: a.tif\\n2026-01-01")
    assert not any(character in line for line in lines for character in "\x1b\u2028")
