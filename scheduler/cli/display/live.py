"""Progress of jobs: a bar for one job, a table that is updated, or lines if the output is piped."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text
from sqlalchemy import Engine

from db.clock import database_now
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress as JobProgress
from db.session import read_scope
from scheduler.cli.display.columns import printable
from scheduler.cli.display.job_tables import duration, jobs_table
from scheduler.doctor.stalled_jobs import why_stalled
from scheduler.rows import seconds_left
from scheduler.text import counted, pace, why_aborted

REFRESH_SECONDS = 0.5
WATCH_SECONDS = 1.0
LATEST = 20  # jobs in the table


class JobBar:
    """A live bar of one job: scans done, scans per second, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
        )
        self._task: TaskID | None = None
        self._start_time = time.monotonic()
        self._first_move: tuple[float, int] | None = None  # the time, and the number of scans finished at that time

    def __enter__(self) -> "JobBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: JobProgress) -> None:
        finished = job.total - job.pending
        if self._task is None:
            self._task = self._progress.add_task("", total=job.total, pace="")
        if self._first_move is None or finished <= self._first_move[1]:
            # The pace is counted from the first scan that finishes, so the time to load the model does not count.
            self._first_move = (time.monotonic(), finished)
        description = f"job {job.job.id}" + (f", [red]{job.failed} failed[/red]" if job.failed else "")
        text = self._pace(job, finished)
        self._progress.update(self._task, completed=finished, description=description, pace=text)

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(printable(sentence)))

    def _pace(self, job: JobProgress, finished: int) -> str:
        assert self._first_move is not None
        since, before = self._first_move
        elapsed = duration(time.monotonic() - self._start_time)
        if finished == before:
            return f"in {elapsed}" if job.ended else f"{elapsed} so far, waiting for the worker"
        per_second = (finished - before) / max(1e-3, time.monotonic() - since)
        if job.ended:
            return f"{pace(per_second)}, in {elapsed}"
        return f"{pace(per_second)}, {duration(job.pending / per_second)} left"


def follow(
    engine: Engine,
    job_id: int,
    console: Console,
    *,
    check: Callable[[], None] = lambda: None,
    trouble: Callable[[], str] = lambda: "",
) -> JobProgress:
    """Show a job's bar until the job is finished. Above it, say what the job waits for, once for each error code.

    `check` is called at each update and may raise. `trouble` gives a problem that a person must solve, or "".
    """
    shown = {""}
    with JobBar(console) as bar:
        while True:
            check()
            with read_scope(engine) as session:
                progress = lifecycle.progress(session, job_id)
                failed = lifecycle.failure_that_may_pass(session, job_id, now=database_now(session))
            warning = trouble()
            sentences = [(warning, warning)]
            if failed:
                waiting = f"waiting: {failed.error_message}; it is tried again by itself"
                sentences.insert(0, (failed.error_code or "", waiting))
            for code, sentence in sentences:
                if code not in shown:
                    bar.say(sentence)
                    shown.add(code)
            bar.show(progress)
            if progress.ended:
                return progress
            time.sleep(REFRESH_SECONDS)


def watch_jobs(engine: Engine, job_id: int | None, *, silent_seconds: float) -> Sequence[JobProgress]:
    """Show one job, or all unfinished jobs, until they are finished. Returns their last progress.

    A terminal shows a table that is updated; otherwise a line is printed for each change.
    """
    console = Console()
    watched = _WatchedJobs(engine, job_id, silent_seconds)
    if not console.is_terminal:
        return _print_changes(watched)
    with Live(console=console, refresh_per_second=2) as live:
        while True:
            jobs = watched.read()
            live.update(jobs_table(jobs, watched.hints), refresh=True)
            if watched.finished:
                return jobs
            time.sleep(WATCH_SECONDS)


class _WatchedJobs:
    """One job, or all jobs that were unfinished at the first look or began since."""

    def __init__(self, engine: Engine, job_id: int | None, silent_seconds: float) -> None:
        self._engine, self._silent_seconds = engine, silent_seconds
        self.hints: list[str] = []  # why jobs do not continue, at the latest look
        self._ids = set() if job_id is None else {job_id}
        self._all = job_id is None
        self.finished = False

    def read(self) -> list[JobProgress]:
        with read_scope(self._engine) as session:
            if self._all:
                self._ids |= {job.id for job in lifecycle.unfinished(session)}
            ids = sorted(self._ids, reverse=True)[:LATEST] or lifecycle.recent_ids(session, limit=LATEST)
            jobs = [lifecycle.progress(session, job_id) for job_id in ids]
            self.hints = why_stalled(session, jobs, silent_seconds=self._silent_seconds)
        self.finished = all(job.ended for job in jobs)
        return jobs


def _print_changes(watched: _WatchedJobs) -> list[JobProgress]:
    printed: dict[int, str] = {}
    hint_count = 0
    while True:
        jobs = watched.read()
        if len(watched.hints) != hint_count:  # the text changes every second
            print(*watched.hints, sep="\n", end="\n" if watched.hints else "", file=sys.stderr, flush=True)
        hint_count = len(watched.hints)
        for job in sorted(jobs, key=lambda job: job.job.id):
            line = _line(job)
            if printed.get(job.job.id) != line:
                print(line, flush=True)
                printed[job.job.id] = line
        if watched.finished:
            return jobs
        time.sleep(WATCH_SECONDS)


def _line(job: JobProgress) -> str:
    finished = job.total - job.pending
    parts = [f"{finished:,} of {counted(job.total, 'scan')}"]
    parts += [f"{count:,} {name}" for count, name in ((job.failed, "failed"), (job.skipped, "skipped")) if count]
    parts += [pace(job.scans_per_second)] if job.scans_per_second else []
    left = seconds_left(job)
    parts += [f"{duration(left)} left"] if left is not None else []
    reason = why_aborted(job)
    return f"job {job.job.id} {job.job.state}: {', '.join(parts)}" + (f"; {reason}" if reason else "")
