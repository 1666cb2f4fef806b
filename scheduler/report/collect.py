"""Computes the report's values from a job's rows. Pictures are made in `build`."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.models.jobs import ScanState
from db.queries.jobs.lifecycle import Progress
from db.queries.reports import rows as report_rows
from db.queries.scans.review_weight import UNCERTAIN_BELOW
from scheduler.report.data import STAGES, Bins, JobFacts, Problem, Reason, StageTiming, Totals
from scheduler.report.plain_text import shortened, without_credentials
from scheduler.text import why_aborted

PROBLEMS_LISTED = 200  # over all reasons; the command line lists the rest
MESSAGE_LETTERS = 400
THROUGHPUT_BINS = 60
COLOURFULNESS_BIN = 5.0
COLOURFULNESS_BINS = 24  # up to 120; Hasler and Suesstrunk call 109 extremely colourful
CERTAINTY_BINS = 20

MeasurementTable = npt.NDArray[
    np.void
]  # one record for each scan: the columns of db.queries.reports.rows; NaN if not measured

_RECORD = np.dtype([("id", "i8"), *((column.key, "f8") for column in report_rows.MEASURED[1:])])
# Lengths of time that people use, in seconds.
_ROUND_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def measurement_table(session: Session, job_id: int) -> MeasurementTable:
    """The measurements of every done scan; finished_at in seconds since 1970. A million scans take about 100 MB."""
    rows: Iterable[Row[Any]] = report_rows.measurements(session, job_id)
    return np.fromiter((_numbers(row) for row in rows), dtype=_RECORD)


def job_facts(progress: Progress) -> JobFacts:
    job = progress.job
    return JobFacts(
        id=job.id,
        name=job.name,
        source=without_credentials(job.source),
        destination=without_credentials(job.destination),
        state=job.state,
        aborted_because=why_aborted(progress),
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def totals(session: Session, progress: Progress, scans: MeasurementTable) -> Totals:
    job, began = progress.job, progress.started_at
    counts = report_rows.scans_by_state(session, job.id)
    end = job.finished_at or report_rows.last_finish(session, job.id)
    return Totals(
        scans=sum(counts.values()),
        done=counts.get(ScanState.DONE, 0),
        failed=counts.get(ScanState.FAILED, 0),
        skipped=counts.get(ScanState.SKIPPED, 0),
        pending=counts.get(ScanState.PENDING, 0),
        megapixels=float(np.nansum(scans["width"] * scans["height"])) / 1e6,
        seconds=max(0.0, (end - job.created_at).total_seconds()) if end else 0.0,
        waited_seconds=max(0.0, (began - job.created_at).total_seconds()) if began else None,
        busy_seconds=progress.busy_seconds,
        scans_per_second=progress.scans_per_second,
    )


def stage_timings(scans: MeasurementTable) -> tuple[StageTiming, ...]:
    """The median and the 95th percentile of each stage that a scan went through."""
    ms_by_stage = [(stage, _known(scans[f"{stage}_ms"])) for stage in STAGES]
    return tuple(
        StageTiming(stage, float(np.median(ms)), float(np.percentile(ms, 95))) for stage, ms in ms_by_stage if len(ms)
    )


def throughput(scans: MeasurementTable, totals: Totals, created_at: datetime) -> Bins:
    """Scans done in each interval since a worker began; at most about 60 intervals."""
    waited = totals.waited_seconds or 0.0
    began, seconds = created_at.timestamp() + waited, max(0.0, totals.seconds - waited)
    longest = seconds / THROUGHPUT_BINS
    width = next((float(step) for step in _ROUND_SECONDS if step >= longest), longest)
    # A worker's clock may be behind the scheduler's, and a scan may be recorded after the job's end.
    last = max(0, math.ceil(seconds / width) - 1)
    index = ((_known(scans["finished_at"]) - began) // width).clip(0, last).astype(np.int64)
    return Bins(width, tuple(np.bincount(index, minlength=last + 1).tolist()))


def colourfulness(scans: MeasurementTable) -> tuple[Bins, float | None]:
    """The distribution and its median."""
    return _distribution(_known(scans["colourfulness"]), COLOURFULNESS_BIN, COLOURFULNESS_BINS)


def certainty(scans: MeasurementTable) -> tuple[Bins, float | None]:
    """The distribution over 0..1 and its median."""
    return _distribution(_known(scans["certainty"]), 1 / CERTAINTY_BINS, CERTAINTY_BINS)


def uncertain(scans: MeasurementTable) -> tuple[int, float]:
    """How many scans are below the doubtful limit of their checkpoint, and that limit (the median, if there are
    several).
    """
    limits = np.where(np.isnan(scans["doubtful_below"]), UNCERTAIN_BELOW, scans["doubtful_below"])
    count = np.count_nonzero(scans["certainty"] < limits)
    return int(count), float(np.median(limits)) if len(limits) else UNCERTAIN_BELOW


def _distribution(values: npt.NDArray[np.float64], width: float, bins: int) -> tuple[Bins, float | None]:
    index = (values // width).clip(0, bins - 1).astype(np.int64)
    counts = tuple(np.bincount(index, minlength=bins).tolist())
    return Bins(width, counts), float(np.median(values)) if len(values) else None


def reasons(session: Session, job_id: int, page: Callable[[int], str]) -> tuple[Reason, ...]:
    """Failed and skipped scans by error code. `page`: the address of a scan's page, by its number; "" if unknown.

    PROBLEMS_LISTED is divided among the codes, so that rare codes show scans too.
    """
    codes = report_rows.problems_by_code(session, job_id)[:PROBLEMS_LISTED]
    share = PROBLEMS_LISTED // max(1, len(codes))
    return tuple(
        Reason(
            state=state,
            code=code or "unknown",
            count=count,
            first=_problems(report_rows.first_problems(session, job_id, state=state, code=code, limit=share), page),
        )
        for state, code, count in codes
    )


def _problems(rows: Sequence[tuple[int, str, str | None]], page: Callable[[int], str]) -> tuple[Problem, ...]:
    return tuple(
        Problem(key, shortened(without_credentials(message or ""), MESSAGE_LETTERS), page(scan_id))
        for scan_id, key, message in rows
    )


def _numbers(row: Row[Any]) -> tuple[float, ...]:
    finished_at: datetime | None = row[-1]
    numbers: Iterable[float | None] = row[:-1]
    return (
        *(math.nan if number is None else number for number in numbers),
        finished_at.timestamp() if finished_at else math.nan,
    )


def _known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = values[~np.isnan(values)]
    return numbers
