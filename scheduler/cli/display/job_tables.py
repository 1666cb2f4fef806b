"""Jobs and scans as people see them in a terminal: progress bars and tables, or rows for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from rich.console import Console, Group
from rich.progress import (
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from db.models.jobs import Scan
from db.queries.jobs.lifecycle import Progress as JobProgress
from scheduler.rows import seconds_left
from scheduler.submission.request import Submitted
from scheduler.text import counted, pace, why_aborted

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
            progress.update(task, description=f"listing: {counted(submitted.scans, 'scan')}, {_size(submitted.bytes)}")

        yield show


def jobs_table(found: Sequence[JobProgress], hints: Sequence[str] = ()) -> Group:
    """Below the table stands why a job stopped itself, and then `hints`."""
    table = Table("job", "state", "scans", "done", "failed", "pace", "left")
    table.add_column("source\ndestination", overflow="fold")
    for each in found:
        left = seconds_left(each)
        table.add_row(
            str(each.job.id),
            each.job.state,
            f"{each.total:,}",
            f"{each.done:,}",
            f"{each.failed:,}",
            "" if each.scans_per_second is None else pace(each.scans_per_second),
            "" if left is None else duration(left),
            Text(f"{printable(each.job.source)}\n{printable(each.job.destination)}"),
        )
    return Group(table, *(Text(sentence) for sentence in (*_aborted(found), *hints)))


def _aborted(found: Sequence[JobProgress]) -> Iterator[str]:
    for each in found:
        if why := why_aborted(each):
            yield f"job {each.job.id} is aborted: {why}; photochrom retry {each.job.id} goes on with it"


def scans_table(found: Iterable[Scan], job_id: int) -> Table:
    """The first thousand: a table is laid out as a whole."""
    rows = iter(found)
    table = Table()
    table.add_column("scan", overflow="fold")
    for name in ("state", "size", "seconds"):
        table.add_column(name, no_wrap=name == "state")
    table.add_column("output or reason", overflow="fold")
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


def duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
