"""Jobs and scans as people see them in a terminal: progress bars and tables, or rows for JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from db.clock import utc_now
from db.models import Scan
from db.queries import jobs
from db.queries.jobs import Progress as JobProgress
from db.session import read_scope
from scheduler.submission import Submitted

REFRESH_SECONDS = 0.5
TABLE_ROWS = 1_000


@contextmanager
def listing(*, quiet: bool) -> Iterator[Callable[[Submitted], None]]:
    """A line that counts scans while a collection is listed."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    # Where nobody watches, standard error is for errors alone.
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("listing")

        def show(submitted: Submitted) -> None:
            progress.update(task, description=f"listing: {submitted.scans:,} scans, {_size(submitted.bytes)}")

        yield show


class JobBar:
    """A live bar of one job: scans done, scans per second, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
        )
        self._task: TaskID | None = None
        self._seen: tuple[float, int] | None = None
        self._moved = False

    def __enter__(self) -> JobBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: JobProgress) -> None:
        ended = job.total - job.pending
        if self._task is None:
            self._task = self._progress.add_task(
                f"job {job.job.id}", total=job.total, completed=ended, rate="waiting for the worker"
            )
            self._seen = (time.monotonic(), ended)
        description = f"job {job.job.id}" + (f", [red]{job.failed} failed[/red]" if job.failed else "")
        self._progress.update(self._task, completed=ended, description=description)
        if (said := self._rate(ended)) is not None:
            self._progress.update(self._task, rate=said)

    def _rate(self, ended: int) -> str | None:
        """Scans per second since the first ended under our eyes: starting up is not counted."""
        assert self._seen is not None
        since, before = self._seen
        if ended == before:
            self._seen = (time.monotonic(), before) if not self._moved else self._seen
            return None
        self._moved = True
        return f"{(ended - before) / (time.monotonic() - since):.1f} scans/s"


def follow(engine: Engine, job_id: int, console: Console, *, check: Callable[[], None] = lambda: None) -> JobProgress:
    """Show a job's bar until it has ended; `check` is called at each look and may raise."""
    with JobBar(console) as bar:
        while True:
            check()
            with read_scope(engine) as session:
                found = jobs.progress(session, job_id)
            bar.show(found)
            if found.ended:
                return found
            time.sleep(REFRESH_SECONDS)


def watch_jobs(engine: Engine, job_id: int | None) -> None:
    """A table that is drawn again and again; one job's until it has ended."""
    with Live(console=Console(), refresh_per_second=2) as live:
        while True:
            with read_scope(engine) as session:
                ids = [job_id] if job_id is not None else jobs.recent_ids(session, limit=20)
                found = [jobs.progress(session, each) for each in ids]
            live.update(jobs_table(found), refresh=True)
            if job_id is not None and found[0].ended:
                return
            time.sleep(1)


def job_rows(found: Sequence[JobProgress]) -> list[dict[str, Any]]:
    return [
        {
            "job": each.job.id,
            "name": each.job.name,
            "state": each.job.state,
            "source": each.job.source,
            "destination": each.job.destination,
            "options": each.job.options,
            "priority": each.job.priority,
            "scans": each.total,
            "done": each.done,
            "failed": each.failed,
            "skipped": each.skipped,
            "pending": each.pending,
            "scans_per_second": rate(each),
            "seconds_left": seconds_left(each),
            "created_at": each.job.created_at,
            "finished_at": each.job.finished_at,
        }
        for each in found
    ]


def jobs_table(found: Sequence[JobProgress]) -> Table:
    table = Table("job", "state", "scans", "done", "failed", "scans/s", "left")
    table.add_column("source\ndestination", overflow="fold")
    for each in found:
        left = seconds_left(each)
        table.add_row(
            str(each.job.id),
            each.job.state,
            f"{each.total:,}",
            f"{each.done:,}",
            f"{each.failed:,}",
            f"{rate(each):.1f}",
            "" if left is None else _duration(left),
            Text(f"{printable(each.job.source)}\n{printable(each.job.destination)}"),
        )
    return table


def rate(job: JobProgress) -> float:
    """Scans per second from the job's creation to its end, or its last record."""
    end = job.job.finished_at or job.last_record_at or utc_now()
    seconds = (end - job.job.created_at).total_seconds()
    return (job.total - job.pending) / seconds if seconds > 0 else 0.0


def seconds_left(job: JobProgress) -> float | None:
    per_second = rate(job)
    return job.pending / per_second if job.pending and per_second and not job.ended else None


def scan_row(scan: Scan) -> dict[str, Any]:
    """Every column of a scan's row."""
    return {column.key: getattr(scan, column.key) for column in Scan.__table__.columns}


def scans_table(found: Iterable[Scan], job_id: int) -> Table:
    """The first thousand: a table is laid out as a whole."""
    rows = iter(found)
    table = Table("scan", "state", "size", "seconds", "output or reason")
    for scan in islice(rows, TABLE_ROWS):
        said = scan.output_key if scan.error_code is None else f"{scan.error_code}: {scan.error_message}"
        table.add_row(
            Text(printable(scan.source_key)), Text(scan.state), size_of(scan), seconds_of(scan), Text(printable(said))
        )
    if next(rows, None) is not None:
        table.caption = f"the first {TABLE_ROWS:,}; all of them: photochrom scans {job_id} --csv FILE"
    return table


def size_of(scan: Scan) -> str:
    return f"{scan.width} x {scan.height}, {scan.bit_depth} bit" if scan.width else ""


def seconds_of(scan: Scan) -> str:
    """All stages together."""
    stages = (scan.fetch_ms, scan.open_ms, scan.wait_ms, scan.predict_ms, scan.compose_ms, scan.store_ms)
    known = [stage for stage in stages if stage is not None]
    return f"{sum(known) / 1000:.1f}" if known else ""


def printable(text: str) -> str:
    """Keys come from outside: control and direction marks are shown as escapes, so that they can't move the cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
