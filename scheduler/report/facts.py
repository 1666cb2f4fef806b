"""How a job was coloured: checkpoint, workers, options, and the settings that may be shown."""

import json
from collections.abc import Sequence

from db.models.jobs import Job
from scheduler.report.data import Fact
from scheduler.report.plain_text import may_be_secret, without_credentials
from scheduler.text import counted
from worker.settings.settings import Settings

# Settings are listed one by one, so that a new setting is not shown before somebody has decided about it.
SHOWN_SETTINGS = {
    "scan_attempts": "Tries of a scan",
    "chunk_attempts": "Lost leases allowed for a chunk",
    "max_scan_bytes": "Largest file, bytes",
    "max_scan_pixels": "Largest scan, pixels",
}
WORKERS_LISTED = 12


def job_settings(
    job: Job,
    checkpoints: Sequence[tuple[str | None, int]],
    workers: Sequence[tuple[str, str | None, int]],
    chunks: tuple[int, int],
) -> list[Fact]:
    """The job's own options, the checkpoints that coloured its scans and the workers that ended them.

    chunks: their number, and the number of scans in the largest one.
    """
    facts = [Fact("Checkpoint", _with_count(name or "not recorded", count)) for name, count in checkpoints]
    facts += [
        Fact("Worker", _with_count(f"{name}, {device}" if device else name, count))
        for name, device, count in workers[:WORKERS_LISTED]
    ]
    if len(workers) > WORKERS_LISTED:
        facts.append(Fact("Worker", f"and {len(workers) - WORKERS_LISTED} more"))
    shown = {name: value for name, value in job.options.items() if value is not None and not may_be_secret(name)}
    facts += [Fact(_title(name), _text(value)) for name, value in shown.items()]
    facts.append(Fact("Priority", str(job.priority)))
    facts.append(Fact("Chunks", f"{chunks[0]:,}, of {counted(chunks[1], 'scan')} at most"))
    if job.max_failures is not None:
        facts.append(Fact("Failed scans allowed", f"{job.max_failures:,}"))
    if job.other_count:
        facts.append(Fact("Other files", f"{job.other_count:,} in the source are not scans and were ignored"))
    return facts


def settings_facts(settings: Settings) -> tuple[Fact, ...]:
    """The settings of this process that affect the outputs. None of them can contain a secret.

    The page says that they are this process' settings. Workers may have other settings, and don't record them.
    """
    values = {title: getattr(settings, name) for name, title in SHOWN_SETTINGS.items()}
    return tuple(Fact(title, _text(value)) for title, value in values.items() if value is not None)


def _with_count(name: str, scans: int) -> str:
    return f"{name} ({counted(scans, 'scan')})"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return without_credentials(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
