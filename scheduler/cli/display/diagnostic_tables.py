"""Workers, settings and the doctor's findings as people see them in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from db.models.pool import Worker
from scheduler.doctor.finding import Finding, State
from scheduler.rows import worker_state
from worker.observability.stages import STAGE_COLUMNS
from worker.settings.reference import Setting

_MARKS = {State.FINE: ("fine ", "green"), State.NOTE: ("note ", "yellow"), State.WRONG: ("WRONG", "bold red")}


def print_finding(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    console.print(Text.assemble((mark, style), f"  {finding.subject}: {finding.sentence}"), soft_wrap=True)
    if finding.remedy:
        console.print(Text(f"       -> {finding.remedy}"), soft_wrap=True)


def print_settings(console: Console, rows: Sequence[Setting]) -> None:
    """Print two lines for each setting, because names and meanings are too long for a table.

    Changed values are bold.
    """
    for row in rows:
        style = "bold" if row.value and row.value != row.default else ""
        default = f"  (default: {row.default})" if row.default and row.value != row.default else ""
        console.print(Text.assemble((f"{row.variable}={row.value}", style), default), soft_wrap=True)
        console.print(Text(f"    {row.meaning}", "dim"), soft_wrap=True)


def print_workers(console: Console, workers: Sequence[Worker], *, now: datetime, silent_seconds: float) -> None:
    """Print a few lines for each worker, because its twelve figures do not fit on one line."""
    running = [
        worker for worker in workers if worker_state(worker, now=now, silent_seconds=silent_seconds) == "at work"
    ]
    for worker in workers:
        state = worker_state(worker, now=now, silent_seconds=silent_seconds)
        seconds = (now - worker.heartbeat_at).total_seconds()
        heading = Text.assemble((worker.name, "bold"), f"  {state}, last message {seconds:.0f} s ago")
        console.print(heading, soft_wrap=True)
        for line in (_identity(worker), _last_minute(worker), _stages(worker)):
            console.print(Text(f"  {line}"), soft_wrap=True)
    scans = sum(worker.scans_per_second or 0.0 for worker in running)
    megapixels = sum(worker.megapixels_per_second or 0.0 for worker in running)
    console.print(f"{len(running)} at work: {scans:.1f} scans/s, {megapixels:.1f} MP/s", highlight=False)


def _identity(worker: Worker) -> str:
    return (
        f"{worker.device}, checkpoint {worker.checkpoint}, {worker.children} children; since its start "
        f"{worker.ended_scans:,} scans, {worker.failed_scans:,} of them failed"
    )


def _last_minute(worker: Worker) -> str:
    return (
        f"last minute: {_number(worker.scans_per_second)} scans/s, {_number(worker.megapixels_per_second)} MP/s; "
        f"device busy {_share(worker.device_busy_share)}, batches full {_share(worker.batch_fill)}, "
        f"{_whole(worker.model_queue_length)} scans waiting for it"
    )


def _stages(worker: Worker) -> str:
    means = (f"{stage.removesuffix('_ms')} {_whole(getattr(worker, stage))}" for stage in STAGE_COLUMNS)
    return f"milliseconds a scan: {', '.join(means)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
