"""Writes a job's report to a file."""

from pathlib import Path

from sqlalchemy import Engine

from db.clock import utc_now
from db.queries import jobs
from db.session import read_scope
from scheduler.report.build import build_report
from scheduler.report.facts import settings_facts
from scheduler.report.page import render_report
from worker.settings import Settings
from worker.storage import S3Options, open_storage, parse_location


def write_report(engine: Engine, job_id: int, path: Path, *, s3: S3Options, settings: Settings) -> None:
    """One HTML file at `path`; raises UsageError when there is no such job."""
    with read_scope(engine) as session:
        job = jobs.get(session, job_id)
        source, destination = (open_storage(parse_location(uri), s3=s3) for uri in (job.source, job.destination))
        facts = settings_facts(settings)
        data = build_report(session, job_id, source, destination, now=utc_now(), settings=facts)
    path.write_text(render_report(data), encoding="utf-8")
