"""What happened to one scan over all jobs."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.models.archives import ArchivedScan
from db.models.jobs import Job, Scan


def history(session: Session, place: str, *, job_id: int | None = None) -> list[tuple[Scan, Job]]:
    """The rows of one scan in all jobs, the oldest job first.

    place: the key of the scan or its output, relative to a job's source or destination; or the whole path or s3://
    location of either. job_id: only of this job.
    """
    keys = keys_of(place)
    query = select(Scan, Job).join(Job, Job.id == Scan.job_id)
    query = query.where(or_(Scan.source_key.in_(keys), Scan.output_key.in_(keys)))
    if job_id is not None:
        query = query.where(Scan.job_id == job_id)
    rows = [(row[0], row[1]) for row in session.execute(query.order_by(Scan.job_id, Scan.id))]
    return [(scan, job) for scan, job in rows if place in names_of(scan, job)]


def keys_of(place: str) -> list[str]:
    """The keys that a place may have: the place itself, and it without its first folder, its first two, and so on."""
    parts = place.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def names_of(scan: Scan | ArchivedScan, job: Job) -> set[str]:
    """Every name of the scan and its output: their keys, and their locations in the job's source and destination."""
    return {
        scan.source_key,
        scan.output_key,
        f"{job.source}/{scan.source_key}",
        f"{job.destination}/{scan.output_key}",
    }
