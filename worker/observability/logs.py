"""One log for every process, to standard error: lines for people, or JSON for machines."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IDS = ("worker", "job", "chunk", "scan")
_context: ContextVar[dict[str, int | str]] = ContextVar("photochrom_log_context", default={})  # noqa: B039 - never changed


def configure_logging(level: str, log_format: str = "text") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # These log a line for each request or chunk, which is only for debugging.
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # libvips warns of damage that it repairs; what it can't read becomes the scan's error.
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)


_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def log_context(**ids: int | str) -> Iterator[None]:
    """Every JSON line that this thread logs in the block has these ids: job, chunk, scan, worker."""
    token = _context.set({**_context.get(), **ids})
    try:
        yield
    finally:
        _context.reset(token)


def json_of(line: bytes) -> bytes:
    """A line of another process as JSON, unless it is JSON already. Libraries write to standard error by themselves."""
    if line.startswith(b"{") or not line.strip():
        return line
    record = {"level": "INFO", "logger": "standard error", "message": line.decode(errors="replace").rstrip()}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


class TextLines(logging.Formatter):
    """One line for each record, even if a key or another process' text has line ends.

    The lines of a traceback follow, indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        whole = super().format(record)
        # The exception's text comes after the message. Only it may have several lines.
        details = "\n".join(part for part in (record.exc_text, record.stack_info) if part)
        if not details:
            return printable(whole)
        first = whole.removesuffix(details).rstrip("\n")
        return printable(first) + "".join(f"\n    {printable(line)}" for line in details.split("\n"))


def printable(text: str) -> str:
    """The text with escapes for line ends and other control characters, which a file's name may contain."""
    return text if text.isprintable() else "".join(map(_written_out, text))


def _written_out(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, logger, process, message, the values of the context and of `extra`,
    exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= _context.get()
        line |= {name: getattr(record, name) for name in _IDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
