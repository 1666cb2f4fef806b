"""Gathers what the report shows: a job's rows, and thumbnails of some of its scans."""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.orm import Session

from db.models.jobs import Job, Scan
from db.queries.jobs import lifecycle
from db.queries.reports import rows as report_rows
from scheduler.report import collect
from scheduler.report.data import Fact, Pair, Picture, ReportData
from scheduler.report.facts import job_settings
from scheduler.report.groups import MOST_OUTLIERS, choose
from scheduler.report.thumbnails.data_uri import Fetches, picture
from scheduler.report.thumbnails.process import ThumbnailProcess

PAIRS_AT_ONCE = 4
PICTURE_SECONDS = 20.0  # later pictures are left out, so that a slow store can't delay a report
OUT_OF_TIME = "Left out, because the store was too slow to read every picture."


@dataclass(frozen=True, slots=True)
class Links:
    """Where links of pictures lead.

    `outputs`: the destination relative to the report, such as "../"; None if unknown.
    """

    outputs: str | None = None
    web_url: str | None = None

    def output(self, scan: Scan) -> str:
        return "" if self.outputs is None else self.outputs + quote(scan.output_key, safe="/")

    def page(self, job_id: int, scan_id: int) -> str:
        return f"{self.web_url.rstrip('/')}/jobs/{job_id}/scans/{scan_id}" if self.web_url else ""


NO_LINKS = Links()


def build_report(
    session: Session,
    job_id: int,
    source: Fetches,
    destination: Fetches,
    *,
    now: datetime,
    settings: Sequence[Fact] = (),
    links: Links = NO_LINKS,
) -> ReportData:
    """Everything about the job at this moment, with thumbnails from its source and destination.

    If a picture can't be made, a sentence takes its place. Raises UsageError if there is no such job.
    """
    progress = lifecycle.progress(session, job_id)
    job = progress.job
    scans = collect.measurement_table(session, job_id)
    totals = collect.totals(session, progress, scans)
    distribution, median = collect.colourfulness(scans)
    certainty, median_certainty = collect.certainty(scans)
    uncertain, uncertain_below = collect.uncertain(scans)
    outliers = report_rows.unlike_their_folder(session, job_id, limit=MOST_OUTLIERS)
    return ReportData(
        job=collect.job_facts(progress),
        totals=totals,
        stages=collect.stage_timings(scans),
        throughput=collect.throughput(scans, totals, job.created_at),
        colourfulness=distribution,
        median_colourfulness=median,
        certainty=certainty,
        median_certainty=median_certainty,
        uncertain=uncertain,
        uncertain_below=uncertain_below,
        reasons=collect.reasons(session, job_id, partial(links.page, job_id)),
        pairs=_pairs(session, choose(scans, outliers), source, destination, links),
        facts=tuple(_provenance(session, job)),
        settings=tuple(settings),
        made_at=now,
    )


def _provenance(session: Session, job: Job) -> list[Fact]:
    return job_settings(
        job,
        report_rows.scans_by_checkpoint(session, job.id),
        report_rows.scans_by_worker(session, job.id),
        report_rows.chunks(session, job.id),
    )


def _pairs(
    session: Session, chosen: list[tuple[int, str]], source: Fetches, destination: Fetches, links: Links
) -> tuple[Pair, ...]:
    rows = report_rows.scans_by_id(session, [scan_id for scan_id, _ in chosen])
    until = time.monotonic() + PICTURE_SECONDS

    def pair(choice: tuple[int, str]) -> Pair:
        scan, group = rows[choice[0]], choice[1]
        path = Path(scratch) / str(scan.id)
        if time.monotonic() > until:
            return _pair(scan, group, OUT_OF_TIME, OUT_OF_TIME, links)
        before = picture(source, scan.source_key, path, process.thumbnail, etag=scan.source_etag)
        after = picture(destination, scan.output_key, path, process.thumbnail)
        return _pair(scan, group, before, after, links)

    with (
        tempfile.TemporaryDirectory(prefix="photochrom-report-") as scratch,
        ThumbnailProcess() as process,
        ThreadPoolExecutor(PAIRS_AT_ONCE) as threads,
    ):
        # A scan whose row was deleted since it was chosen is left out; store.write_report then refuses the report.
        return tuple(threads.map(pair, [choice for choice in chosen if choice[0] in rows]))


def _pair(scan: Scan, group: str, before: Picture | str, after: Picture | str, links: Links) -> Pair:
    return Pair(
        key=scan.source_key,
        group=group,
        width=scan.width or 0,
        height=scan.height or 0,
        bit_depth=scan.bit_depth or 8,
        colourfulness=scan.colourfulness,
        certainty=scan.certainty,
        before=before,
        after=after,
        output=links.output(scan),
        page=links.page(scan.job_id, scan.id),
    )
