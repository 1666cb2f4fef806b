"""Jobs that colour a sample first: a few scans in several ways, and then the rest in the way that a person chooses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.errors import Conflict
from db.models.jobs import Job, JobState, Scan, ScanState
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan, Progress
from db.queries.scans import records

SAMPLES = "photochrom-samples/"  # in a destination: one folder for each job with a sample


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to colour: the options that differ, and a name, which is also the folder's name."""

    name: str
    options: Mapping[str, Any]


def spread(session: Session, job_id: int, count: int, *, scan_count: int, offset: float) -> list[Scan]:
    """`count` of the job's waiting scans, spread evenly over its folders and, in each folder, over the file sizes.

    scan_count: how many scans wait. offset: 0..1, where the first scan lies between two steps; it comes from a seed.
    The scans are read once, with one folder in memory.
    """
    step = scan_count / min(count, scan_count)
    positions = {min(scan_count - 1, int((number + offset) * step)) for number in range(min(count, scan_count))}
    chosen = [scan_id for position, scan_id in enumerate(_by_folder_and_size(session, job_id)) if position in positions]
    return list(session.scalars(select(Scan).where(Scan.id.in_(chosen)).order_by(Scan.id)))


def _by_folder_and_size(session: Session, job_id: int) -> Iterator[int]:
    rows = session.execute(
        select(Scan.source_key, Scan.source_bytes, Scan.id)
        .where(Scan.job_id == job_id, Scan.state == ScanState.PENDING)
        .order_by(Scan.source_key, Scan.id)
        .execution_options(yield_per=5_000)
    )
    for _, folder in groupby(rows, key=lambda row: row[0].rpartition("/")[0]):
        yield from (row[2] for row in sorted(folder, key=lambda row: (row[1] or 0, row[2])))


def add(
    session: Session, job: Job, scans: Sequence[Scan], choices: Sequence[Choice], *, chunk_scans: int, now: datetime
) -> list[int]:
    """Insert one job for each choice, with the same scans and its own folder. Returns their numbers."""
    job_ids = []
    for choice in choices:
        job_id = lifecycle.create(
            session,
            name=f"{job.name}, sample: {choice.name}",
            source=job.source,
            destination=f"{job.destination}/{SAMPLES}{job.id}/{choice.name.replace(' ', '-')}",
            options={**job.options, **choice.options, "bag": False},
            selection={"sample_of": job.id, "choice": choice.name, "chosen": dict(choice.options)},
            priority=job.priority,
            now=now,
            submitted_by=job.submitted_by,
        )
        again = [NewScan(scan.source_key, scan.source_etag, scan.source_bytes, scan.output_key) for scan in scans]
        lifecycle.add_scans(session, job_id, again, chunk_scans=chunk_scans)
        lifecycle.start(session, job_id, other_count=0)
        job_ids.append(job_id)
    return job_ids


def of_job(session: Session, job_id: int) -> list[Progress]:
    """The jobs that colour this job's sample, in the order of the choices."""
    ids = session.scalars(select(Job.id).where(_is_sample_of(job_id)).order_by(Job.id)).all()
    return [lifecycle.progress(session, sample) for sample in ids]


def has_sample(session: Session, job_id: int) -> bool:
    """Whether the job has coloured a sample, or is to colour one."""
    return session.scalar(select(Job.id).where(_is_sample_of(job_id)).limit(1)) is not None


def scans(session: Session, tried: Sequence[Progress]) -> dict[str, list[Scan | None]]:
    """For each key of the sample, its scan in each of these jobs; None where the job's rows are archived or deleted."""
    columns = [{scan.source_key: scan for scan in records.of_job(session, progress.job.id)} for progress in tried]
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: [column.get(key) for column in columns] for key in keys}


def _is_sample_of(job_id: int) -> ColumnElement[bool]:
    is_sample: ColumnElement[bool] = Job.selection["sample_of"].as_integer() == job_id
    return is_sample


def approve(session: Session, job_id: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Let the dispatcher see the job, with these options. Returns those that it had before.

    Raises NotFound, and Conflict if the job does not wait for a choice.
    """
    job = _waiting(session, job_id, "approved")
    before = job.options
    job.state, job.options = JobState.RUNNING, {**before, **options}
    session.flush()
    return before


def reject(session: Session, job_id: int, *, now: datetime) -> None:
    """Cancel the job, and the unfinished jobs of its sample. Raises as `approve`."""
    _waiting(session, job_id, "rejected")
    cancel(session, job_id, now=now)


def _waiting(session: Session, job_id: int, participle: str) -> Job:
    """A job that waits for a choice; until the end of this transaction, nobody else can approve or reject it."""
    job = lifecycle.hold(session, job_id)
    if job.state != JobState.SAMPLED:
        raise Conflict(f"job {job_id} is {job.state}; only a sampled job can be {participle}")
    return job


def scans_per_second(samples: Sequence[Progress]) -> float | None:
    """The pace of all choices together, from the start of the first scan to the end of the last; None before a scan has
    ended.
    """
    begun = [sample.started_at for sample in samples if sample.started_at]
    ended = [sample.job.finished_at for sample in samples if sample.job.finished_at]
    seconds = (max(ended) - min(begun)).total_seconds() if begun and len(ended) == len(samples) else 0.0
    scans = sum(sample.done + sample.failed for sample in samples)
    return scans / seconds if seconds > 0 and scans else None


def cancel(session: Session, job_id: int, *, now: datetime) -> None:
    """Cancel the job. If it waits for a choice, the unfinished jobs of its sample are cancelled too.

    Raises NotFound, and Conflict if the job has ended.
    """
    # The rows are locked first, the job's before those of its sample, and read afterwards. So no job of the sample ends
    # between the two, and a job whose listing ends at this moment is cancelled together with its sample.
    if lifecycle.hold(session, job_id).state == JobState.SAMPLED:
        held = select(Job).where(_is_sample_of(job_id)).order_by(Job.id).with_for_update(key_share=True)
        for sample in session.scalars(held.execution_options(populate_existing=True)).all():
            if sample.state not in JobState.ENDED:
                lifecycle.change_state(session, sample.id, JobState.CANCELLED, now=now)
    lifecycle.change_state(session, job_id, JobState.CANCELLED, now=now)
