"""The report of a sample: each scan in grey, and beside it the same scan coloured by each choice."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.models.jobs import Job, Scan, ScanState
from db.queries.jobs import samples
from db.queries.jobs.lifecycle import Progress
from scheduler.report.data import Picture
from scheduler.report.page import TEMPLATES, duration, number
from scheduler.report.plain_text import visible
from scheduler.report.thumbnails.data_uri import Fetches, picture
from scheduler.report.thumbnails.process import ThumbnailProcess
from scheduler.templates import template_environment
from worker.storage import S3Options, open_storage, parse_location

Cell = Picture | str  # a picture, or why there is none


@dataclass(frozen=True, slots=True)
class SampleRow:
    key: str
    grey: Cell
    colours: Sequence[Cell]  # in the order of the choices


def sample_page(session: Session, job: Job, s3: S3Options) -> str:
    """One HTML file that needs nothing else. Raises UsageError, and ServiceUnavailable if a store does not answer."""
    tried = samples.of_job(session, job.id)
    environment = template_environment(TEMPLATES)
    environment.filters.update(visible=visible, number=number, duration=duration)
    environment.tests["picture"] = lambda value: isinstance(value, Picture)
    pace = samples.scans_per_second(tried)
    return environment.get_template("sample.html").render(
        job=job,
        tried=tried,
        rows=_rows(session, job, tried, s3),
        seconds=job.scan_count / pace if pace else None,
        commands=[_command(job.id, progress) for progress in tried],
    )


def _rows(session: Session, job: Job, tried: Sequence[Progress], s3: S3Options) -> list[SampleRow]:
    source = open_storage(parse_location(job.source), s3=s3, is_source=True)
    outputs = [open_storage(parse_location(progress.job.destination), s3=s3) for progress in tried]
    rows = samples.scans(session, tried)
    with tempfile.TemporaryDirectory(prefix="photochrom-report-") as folder, ThumbnailProcess() as process:
        path = Path(folder, "scan")
        return [
            SampleRow(
                key,
                picture(source, key, path, process.thumbnail, etag=_listed_etag(scans)),
                [_colour(storage, scan, path, process) for storage, scan in zip(outputs, scans, strict=True)],
            )
            for key, scans in rows.items()
        ]


def _listed_etag(scans: Sequence[Scan | None]) -> str | None:
    """The etag of the source when the sample was taken; all jobs of the sample have the same."""
    return next(scan.source_etag for scan in scans if scan is not None)


def _colour(storage: Fetches, scan: Scan | None, path: Path, process: ThumbnailProcess) -> Cell:
    if scan is None:
        return "The rows of this job are archived or deleted."
    if scan.state != ScanState.DONE:
        return scan.error_message or scan.state
    return picture(storage, scan.output_key, path, process.thumbnail)


def _command(job_id: int, progress: Progress) -> str:
    chosen = (progress.job.selection or {}).get("chosen", {})
    options = "".join(f" --{name} {value}" for name, value in chosen.items())
    return f"photochrom approve {job_id}{options}"
