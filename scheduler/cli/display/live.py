"""Jobs while they go on: a bar for one, a table that is drawn again, or lines where nobody watches a screen."""

from __future__ import annotations

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
from scheduler.cli.display.job_tables import duration, jobs_table, printable
from scheduler.doctor.stalled_jobs import unserved
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
            TextColumn("{task.fields[said]}"),
            console=console,
        )
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._moved: tuple[float, int] | None = None  # since when, and how many scans had ended by then

    def __enter__(self) -> JobBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: JobProgress) -> None:
        ended = job.total - job.pending
        if self._task is None:
            self._task = self._progress.add_task("", total=job.total, said="")
        if self._moved is None or ended <= self._moved[1]:
            # Until a scan has ended under our eyes: starting up is not counted.
            self._moved = (time.monotonic(), ended)
        description = f"job {job.job.id}" + (f", [red]{job.failed} failed[/red]" if job.failed else "")
        self._progress.update(self._task, completed=ended, description=description, said=self._said(job, ended))

    def say(self, sentence: str) -> None:
        """A line above the bar."""
        self._progress.console.print(Text(printable(sentence)))

    def _said(self, job: JobProgress, ended: int) -> str:
        assert self._moved is not None
        since, before = self._moved
        gone = duration(time.monotonic() - self._began)
        if ended == before:
            return f"in {gone}" if job.ended else f"{gone} so far, waiting for the worker"
        per_second = (ended - before) / max(1e-3, time.monotonic() - since)
        if job.ended:
            return f"{pace(per_second)}, in {gone}"
        return f"{pace(per_second)}, {duration(job.pending / per_second)} left"


def follow(
    engine: Engine,
    job_id: int,
    console: Console,
    *,
    check: Callable[[], None] = lambda: None,
    trouble: Callable[[], str] = lambda: "",
) -> JobProgress:
    """Show a job's bar until it has ended, and above it what it waits for, once for each kind.

    `check` is called at each look and may raise; `trouble` is what a person must see to, if anything.
    """
    said = {""}
    with JobBar(console) as bar:
        while True:
            check()
            with read_scope(engine) as session:
                found = lifecycle.progress(session, job_id)
                failed = lifecycle.failure_that_may_pass(session, job_id, now=database_now(session))
            waits = (
                (failed.error_code or "", f"waits: {failed.error_message}; tried again by itself") if failed else None
            )
            for kind, sentence in filter(None, (waits, (trouble(),) * 2)):
                if kind not in said:
                    bar.say(sentence)
                    said.add(kind)
            bar.show(found)
            if found.ended:
                return found
            time.sleep(REFRESH_SECONDS)


def watch_jobs(engine: Engine, job_id: int | None, *, silent_seconds: float) -> Sequence[JobProgress]:
    """Show one job, or all that go on, until none does; returns them as they are then.

    On a terminal a table that is drawn again and again, elsewhere a line for each change.
    """
    console = Console()
    look = _Look(engine, job_id, silent_seconds)
    if not console.is_terminal:
        return _print_changes(look)
    with Live(console=console, refresh_per_second=2) as live:
        while True:
            found = look()
            live.update(jobs_table(found, look.hints), refresh=True)
            if look.over:
                return found
            time.sleep(WATCH_SECONDS)


class _Look:
    """The jobs to show: the one that is asked for, or those that went on at the first look or began since."""

    def __init__(self, engine: Engine, job_id: int | None, silent_seconds: float) -> None:
        self._engine, self._silent_seconds = engine, silent_seconds
        self.hints: list[str] = []  # why they don't go on, at the last look
        self._ids = set() if job_id is None else {job_id}
        self._all = job_id is None
        self.over = False

    def __call__(self) -> list[JobProgress]:
        with read_scope(self._engine) as session:
            if self._all:
                self._ids |= {job.id for job in lifecycle.unfinished(session)}
            ids = sorted(self._ids, reverse=True)[:LATEST] or lifecycle.recent_ids(session, limit=LATEST)
            found = [lifecycle.progress(session, each) for each in ids]
            self.hints = unserved(session, found, silent_seconds=self._silent_seconds)
        self.over = all(each.ended for each in found)
        return found


def _print_changes(look: _Look) -> list[JobProgress]:
    said: dict[int, str] = {}
    hinted = 0
    while True:
        found = look()
        if len(look.hints) != hinted:  # their words change with every second
            print(*look.hints, sep="\n", end="\n" if look.hints else "", file=sys.stderr, flush=True)
        hinted = len(look.hints)
        for each in sorted(found, key=lambda job: job.job.id):
            line = _line(each)
            if said.get(each.job.id) != line:
                print(line, flush=True)
                said[each.job.id] = line
        if look.over:
            return found
        time.sleep(WATCH_SECONDS)


def _line(job: JobProgress) -> str:
    ended = job.total - job.pending
    parts = [f"{ended:,} of {counted(job.total, 'scan')}"]
    parts += [f"{count:,} {name}" for count, name in ((job.failed, "failed"), (job.skipped, "skipped")) if count]
    parts += [pace(job.scans_per_second)] if job.scans_per_second else []
    left = seconds_left(job)
    parts += [f"{duration(left)} left"] if left is not None else []
    why = why_aborted(job)
    return f"job {job.job.id} {job.job.state}: {', '.join(parts)}" + (f"; {why}" if why else "")
