"""Jobs and scans as people see them in a terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from rich.console import Console, Group
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from db.models.archives import ArchivedScan
from db.models.jobs import Job, Scan
from db.queries.jobs.lifecycle import Progress as JobProgress
from scheduler.cli.display.columns import Columns, printable
from scheduler.rows import archive_of, report_of, seconds_left
from scheduler.submission.request import Submitted
from scheduler.text import counted, pace, why_aborted
from worker.observability.stages import STAGE_COLUMNS

TABLE_ROWS = 1_000


@contextmanager
def listing(*, quiet: bool) -> Iterator[Callable[[Submitted], None]]:
    """Show a line that counts scans while a source is listed."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    # If nobody watches, standard error is only for errors.
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("listing")

        def show(submitted: Submitted) -> None:
            progress.update(task, description=f"listing: {counted(submitted.scans, 'scan')}, {_size(submitted.bytes)}")

        yield show


@contextmanager
def counting(title: str) -> Iterator[Callable[[str, int], None]]:
    """A line that counts scans while something is done to them, in words such as written or deleted."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)
        yield lambda what, scans: progress.update(task, description=f"{title}: {counted(scans, 'scan')} {what}")


def jobs_table(jobs: Sequence[JobProgress], hints: Sequence[str] = ()) -> Group:
    """A line for each job; below them, why a job was aborted, and then `hints`."""
    rows = [_job_line(progress) for progress in jobs]
    heads = ("job", "state", "scans", "done", "failed", "left", "name")
    table = Columns(heads, rows, numbers=heads[2:6], shorten=True)
    return Group(table, *(Text(sentence) for sentence in (*_aborted(jobs), *hints)))


def _job_line(progress: JobProgress) -> tuple[str, ...]:
    left = seconds_left(progress)
    return (
        str(progress.job.id),
        progress.job.state,
        f"{progress.total:,}",
        f"{progress.done:,}",
        f"{progress.failed:,}",
        "" if left is None else duration(left),
        progress.job.name,
    )


def job_details(progress: JobProgress) -> list[str]:
    """Details of a job that don't fit on its line."""
    job = progress.job
    sentences = [f"from {job.source}", f"to {job.destination}"]
    if progress.scans_per_second is not None:
        sentences.append(f"pace: {pace(progress.scans_per_second)}")
    if progress.skipped:
        sentences.append(f"skipped: {counted(progress.skipped, 'scan')}")
    if report := report_of(progress):
        sentences.append(f"report: {report}")
    if archive := archive_of(job):
        sentences.append(f"archived: {archive}")
    return [printable(sentence) for sentence in sentences]


def _aborted(jobs: Sequence[JobProgress]) -> Iterator[str]:
    for progress in jobs:
        if reason := why_aborted(progress):
            yield f"job {progress.job.id} is aborted: {reason}; photochrom retry {progress.job.id} continues it"


def scans_table(scans: Iterable[Scan], job_id: int) -> Group:
    """A line for each of the first thousand scans.

    The key, and the output or the reason of the failure, come last in a line and are not broken.
    """
    rows = iter(scans)
    lines = [_scan_line(scan) for scan in islice(rows, TABLE_ROWS)]
    table = Columns(("state", "size", "seconds", "scan"), lines, numbers=("seconds",))
    if next(rows, None) is None:
        return Group(table)
    return Group(table, Text(f"the first {TABLE_ROWS:,}; all of them: photochrom scans {job_id} --csv FILE"))


def _scan_line(scan: Scan) -> tuple[str, ...]:
    output = "" if scan.output_key == scan.source_key else scan.output_key
    return scan.state, size_of(scan), seconds_of(scan), f"{scan.source_key}{_result(scan, output)}"


def _result(scan: Scan | ArchivedScan, output: str) -> str:
    """The text after a scan's key: its output, or the reason of its failure."""
    if scan.error_code is not None:
        return f": {scan.error_code}: {scan.error_message}"
    return f" -> {output}" if output else ""


def history_table(rows: Sequence[tuple[Scan | ArchivedScan, Job]]) -> Columns:
    """A line for each job that had the scan."""
    lines = [
        (
            str(job.id),
            scan.state,
            f"{scan.finished_at:%Y-%m-%d %H:%M} UTC" if scan.finished_at else "",
            scan.checkpoint or "",
            scan.verdict or "",
            f"{job.source}/{scan.source_key}{_result(scan, f'{job.destination}/{scan.output_key}')}"
            + (f" (archived in {archive_of(job)})" if isinstance(scan, ArchivedScan) else ""),
        )
        for scan, job in rows
    ]
    return Columns(("job", "state", "finished", "checkpoint", "verdict", "scan"), lines, numbers=("job",))


def size_of(scan: Scan) -> str:
    return f"{scan.width} x {scan.height}, {scan.bit_depth} bit" if scan.width else ""


def seconds_of(scan: Scan) -> str:
    """The seconds of all stages together."""
    measured = [milliseconds for stage in STAGE_COLUMNS if (milliseconds := getattr(scan, stage)) is not None]
    return f"{sum(measured) / 1000:.1f}" if measured else ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03."""
    hours, below_an_hour = divmod(round(seconds), 3600)
    return f"{hours}:{below_an_hour // 60:02}:{below_an_hour % 60:02}"
