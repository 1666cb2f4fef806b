"""Writes a job's report to a file, or into the job's destination."""

import tempfile
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.jobs import Job, JobState
from db.queries.archives import progress as archives
from db.queries.jobs import lifecycle, samples
from db.session import read_scope, session_scope
from scheduler.report import REPORTS
from scheduler.report.build import Links, build_report
from scheduler.report.facts import settings_facts
from scheduler.report.page import render_report
from scheduler.report.sample import sample_page
from worker.settings.settings import Settings
from worker.storage import S3Options, open_storage, parse_location


def report_key(job: Job) -> str:
    """The report's key in the destination.

    It has the date and the job's number, so that reports never replace each other and are sorted.
    """
    return f"{REPORTS}{job.created_at:%Y-%m-%d}-job-{job.id}.html"


def write_report(
    engine: Engine, job_id: int, path: Path, *, s3: S3Options, settings: Settings, outputs: str | None = None
) -> None:
    """Write one HTML file to `path`. `outputs`: see Links.

    Raises NotFound if there is no such job; Conflict if its rows are archived or deleted, also if that began meanwhile.
    """
    with read_scope(engine) as session:
        archives.expect_rows(session, job_id)
        page = _page(session, job_id, s3, settings, outputs)
    # Each query read the rows of its own moment. If some were deleted between two queries, the page lacks them.
    with read_scope(engine) as session:
        archives.expect_rows(session, job_id)
    path.write_text(page, encoding="utf-8")


def _page(session: Session, job_id: int, s3: S3Options, settings: Settings, outputs: str | None) -> str:
    job = lifecycle.get(session, job_id)
    if job.state == JobState.SAMPLED:
        return sample_page(session, job, s3)
    source = open_storage(parse_location(job.source), s3=s3, is_source=True)
    destination = open_storage(parse_location(job.destination), s3=s3)
    facts = settings_facts(settings)
    links = Links(outputs, settings.web_url)
    now = database_now(session)
    return render_report(build_report(session, job_id, source, destination, now=now, settings=facts, links=links))


def store_report(engine: Engine, job_id: int, settings: Settings) -> str:
    """Write the report into the job's destination. Returns its key. Raises PhotochromError.

    If a job was continued and has ended again, its new report replaces the earlier one.
    """
    with read_scope(engine) as session:
        job = lifecycle.get(session, job_id)
    key = report_key(job)
    destination = open_storage(parse_location(job.destination), s3=settings.s3_options)
    with tempfile.TemporaryDirectory(prefix="photochrom-report-") as folder:
        path = Path(folder, "report.html")
        write_report(engine, job_id, path, s3=settings.s3_options, settings=settings, outputs="../")
        destination.store(path, key, content_type="text/html; charset=utf-8")
    if (job.selection or {}).get("sample_of"):
        _store_sample_report(engine, job.selection["sample_of"], settings)  # type: ignore[index]  # it has one
    return key


def _store_sample_report(engine: Engine, job_id: int, settings: Settings) -> None:
    """Write the report of a sample when all its choices are coloured and the job still waits for a choice."""
    with read_scope(engine) as session:
        job = session.get(Job, job_id)
        tried = samples.of_job(session, job_id)
        if job is None or job.state != JobState.SAMPLED or not all(progress.ended for progress in tried):
            return
    key = f"{REPORTS}{job.created_at:%Y-%m-%d}-job-{job.id}-sample.html"
    destination = open_storage(parse_location(job.destination), s3=settings.s3_options)
    with tempfile.TemporaryDirectory(prefix="photochrom-report-") as folder:
        path = Path(folder, "report.html")
        write_report(engine, job_id, path, s3=settings.s3_options, settings=settings)
        destination.store(path, key, content_type="text/html; charset=utf-8")
    with session_scope(engine) as session:
        lifecycle.get(session, job_id).report_key = key
