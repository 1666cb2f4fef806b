"""Reviews: what a person should look at first, and the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import column, func, insert, literal, select, table, update
from sqlalchemy.orm import Session

from db.errors import Conflict, NotFound, UsageError
from db.models.jobs import Job, Scan, ScanState
from db.models.reviews import Review, Verdict
from db.queries.archives import progress as archives
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.reports.rows import OUTLIERS
from db.queries.scans import review_weight

REDONE = "photochrom-redone/"  # in a destination: outputs that wait for a choice
_PART = 1_000
_QUEUE = table(
    "review_queue",
    *map(column, ("scan_id", "job_id", "source_key", "output_key", "reasons", "weight")),
    *map(column, ("certainty", "colourfulness", "clipped_share", "width", "height", "checkpoint")),
)


@dataclass(frozen=True, slots=True)
class By:
    """Who gives a verdict, when, and with which note."""

    name: str
    reviewed_at: datetime
    note: str | None = None


def queue(session: Session, job_id: int, *, limit: int) -> list[dict[str, Any]]:
    """Rows of the view review_queue: the outputs of a job that a person should look at, the most doubtful first."""
    query = select(_QUEUE).where(_QUEUE.c.job_id == job_id).order_by(_QUEUE.c.weight.desc(), _QUEUE.c.scan_id)
    return [dict(row) for row in session.execute(query.limit(limit)).mappings()]


def unlike_their_folder(session: Session, job_id: int, *, limit: int) -> list[dict[str, Any]]:
    """Rows like those of `queue`, of outputs that have no other reason for review but differ much from the others in
    their folder.
    """
    shown = (Scan.source_key, Scan.output_key, literal("unlike its folder").label("reasons"))
    measures = (Scan.certainty, Scan.colourfulness, Scan.clipped_share, Scan.width, Scan.height, Scan.checkpoint)
    rows = session.execute(
        select(Scan.id.label("scan_id"), Scan.job_id, *shown, Scan.review_weight.label("weight"), *measures)
        .join(OUTLIERS, OUTLIERS.c.scan_id == Scan.id)
        .where(OUTLIERS.c.job_id == job_id, Scan.review_weight.is_(None), Scan.verdict.is_(None))
        .order_by(OUTLIERS.c.furthest.desc(), Scan.id)
        .limit(limit)
    )
    return [dict(row) for row in rows.mappings()]


def queue_length(session: Session, job_id: int) -> int:
    return session.scalar(select(func.count()).select_from(_QUEUE).where(_QUEUE.c.job_id == job_id)) or 0


def verdicts(session: Session, job_id: int, *, limit: int | None = None) -> list[tuple[Review, str]]:
    """The latest verdict on each reviewed output of the job, with the source's key, the latest first."""
    newest = (
        select(func.max(Review.id))
        .join(Scan, Scan.id == Review.scan_id)
        .where(Scan.job_id == job_id)
        .group_by(Review.scan_id)
    )
    rows = session.execute(
        select(Review, Scan.source_key)
        .join(Scan, Scan.id == Review.scan_id)
        .where(Review.id.in_(newest))
        .order_by(Review.id.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def outputs(session: Session, job_id: int, keys: Sequence[str]) -> list[Scan]:
    """The job's done scans with these source or output keys. Raises UsageError for a key without such a scan."""
    lifecycle.get(session, job_id)
    scans: dict[int, Scan] = {}
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        done = select(Scan).where(Scan.job_id == job_id, Scan.state == ScanState.DONE)
        for same in (Scan.source_key.in_(part), Scan.output_key.in_(part)):
            scans |= {scan.id: scan for scan in session.scalars(done.where(same))}
    keys_with_outputs = {key for scan in scans.values() for key in (scan.source_key, scan.output_key)}
    if missing := [key for key in keys if key not in keys_with_outputs]:
        raise NotFound(f"job {job_id} has no output for {missing[0]!r}; photochrom scans {job_id} lists its scans")
    return sorted(scans.values(), key=lambda scan: scan.id)


def latest(session: Session, scan_ids: Sequence[int]) -> dict[int, Review]:
    """The latest review of each of these scans, by the scan's id. Scans without a review are left out."""
    newest = select(func.max(Review.id)).where(Review.scan_id.in_(scan_ids)).group_by(Review.scan_id)
    return {review.scan_id: review for review in session.scalars(select(Review).where(Review.id.in_(newest)))}


def all_of(session: Session, scan_ids: Sequence[int]) -> dict[int, list[Review]]:
    """Every review of these scans, by the scan's id, the oldest first."""
    found: dict[int, list[Review]] = {}
    for review in session.scalars(select(Review).where(Review.scan_id.in_(scan_ids)).order_by(Review.id)):
        found.setdefault(review.scan_id, []).append(review)
    return found


def decide(
    session: Session,
    scans: Sequence[Scan],
    verdict: str,
    by: By,
    *,
    seen: Mapping[int, int | None] | None = None,
) -> None:
    """Record a verdict on these outputs. They leave the queue.

    seen: by the scan's id, the id of the review that the reviewer saw (None for no review). Raises Conflict if there is
    a newer one or the job is archived, UsageError if `seen` names other scans; nothing is recorded then.
    """
    hold(session, scans)
    expect_seen(session, scans, seen)
    _record(session, scans, verdict, by, redo_job_id=None)


def hold(session: Session, scans: Sequence[Scan]) -> None:
    """Lock these outputs for a verdict; until the end of this transaction, nobody else gives one, and nobody begins to
    archive or delete their jobs. Raises Conflict if a job is archived.

    What a verdict depends on is read after this: of two reviewers at the same time, the second sees what the first
    wrote. Everybody locks in one order: jobs, then scans by their ids, then the claims of outputs.
    """
    for job_id in sorted({scan.job_id for scan in scans}):
        archives.hold_rows(session, job_id)
    ids = sorted(scan.id for scan in scans)
    for start in range(0, len(ids), _PART):
        part = Scan.id.in_(ids[start : start + _PART])
        session.execute(select(Scan.id).where(part).order_by(Scan.id).with_for_update())


def expect_seen(session: Session, scans: Sequence[Scan], seen: Mapping[int, int | None] | None) -> None:
    """Raises as `decide`. Call `hold` before this."""
    if seen is None:
        return
    if other_ids := seen.keys() - {scan.id for scan in scans}:
        raise UsageError(
            f"seen names scan {min(other_ids)}, which is not among the scans of this verdict; leave it out"
        )
    _expect_nothing_new(session, seen, {scan.id: scan.source_key for scan in scans} if len(scans) > 1 else {})


def _record(session: Session, scans: Sequence[Scan], verdict: str, by: By, *, redo_job_id: int | None) -> None:
    review = {"verdict": verdict, "reviewed_by": by.name, "reviewed_at": by.reviewed_at, "note": by.note}
    session.execute(insert(Review), [{"scan_id": scan.id, "redo_job_id": redo_job_id, **review} for scan in scans])
    for start in range(0, len(scans), _PART):
        ids = [scan.id for scan in scans[start : start + _PART]]
        _set_verdict(session, ids, verdict, None)


def _expect_nothing_new(
    session: Session, seen: Mapping[int, int | None], keys: Mapping[int, str] = MappingProxyType({})
) -> None:
    """`keys`: by the scan's id, how the error names the scan; scans that are not in it are "it"."""
    newest = latest(session, list(seen))
    for scan_id, review_id in seen.items():
        review = newest.get(scan_id)
        if (review.id if review else None) != review_id:
            raise Conflict(_changed(review, keys.get(scan_id, "it")))


def _changed(review: Review | None, scan: str) -> str:
    if review is None:
        return f"the verdict that you saw on {scan} was taken back; look again, then decide"
    verdict = f"asked for a redo of {scan}" if review.verdict == Verdict.REDONE else f"{review.verdict} {scan}"
    return f"{review.reviewed_by} {verdict} at {review.reviewed_at:%H:%M} UTC, after you opened it; look again"


def _set_verdict(session: Session, scan_ids: Sequence[int], verdict: str | None, weight: float | None) -> None:
    session.execute(
        update(Scan)
        .where(Scan.id.in_(scan_ids))
        .values(review_weight=weight, verdict=verdict)
        .execution_options(synchronize_session=False)
    )


def undo(session: Session, job_id: int, name: str, *, scan_id: int | None = None) -> tuple[Scan, Review]:
    """Take back a person's latest verdict in the job, or on one scan. The verdict before it counts again.

    Raises Conflict if there is none, if somebody has reviewed the scan since, or if the output is already being made
    again.
    """
    archives.hold_rows(session, job_id)
    query = (
        select(Review).join(Scan, Scan.id == Review.scan_id).where(Scan.job_id == job_id, Review.reviewed_by == name)
    )
    if scan_id is not None:
        query = query.where(Review.scan_id == scan_id)
    review = session.scalars(query.order_by(Review.id.desc()).limit(1)).first()
    if review is None:
        raise Conflict(f"you have given no verdict in job {job_id} that could be taken back")
    scan = session.get_one(Scan, review.scan_id)
    hold(session, [scan])
    _expect_nothing_new(session, {scan.id: review.id})
    if review.redo_job_id is not None:
        raise Conflict(f"job {review.redo_job_id} makes it again; cancel that job, or choose between the two results")
    session.delete(review)
    session.flush()
    before = latest(session, [scan.id]).get(scan.id)
    if before is None:
        _set_verdict(session, [scan.id], None, review_weight.weight(scan))
    else:
        _set_verdict(session, [scan.id], before.verdict, None)
    return scan, review


def redo(
    session: Session,
    job: Job,
    scans: Sequence[Scan],
    by: By,
    *,
    options: dict[str, Any],
    chunk_scans: int,
    keep_earlier: bool = False,
    seen: Mapping[int, int | None] | None = None,
) -> int:
    """Insert a job that makes these outputs again with other options. Returns its number.

    Each output replaces the earlier one. With `keep_earlier`, the outputs go into the new job's folder below REDONE in
    the same destination, and the earlier ones stay until somebody chooses. `seen` is the same as for `decide`.
    """
    hold(session, scans)
    expect_seen(session, scans, seen)
    job_id = lifecycle.create(
        session,
        name=f"{job.name}, redone",
        source=job.source,
        destination=job.destination,
        options={**job.options, **options, **({"bag": False} if keep_earlier else {})},
        selection={"redone": job.id, **({"beside": True} if keep_earlier else {})},
        priority=job.priority,
        now=by.reviewed_at,
        submitted_by=by.name,
    )
    if keep_earlier:
        lifecycle.get(session, job_id).destination = f"{job.destination}/{REDONE}{job_id}"
    again = [NewScan(scan.source_key, scan.source_etag, scan.source_bytes, scan.output_key) for scan in scans]
    lifecycle.add_scans(session, job_id, again, chunk_scans=chunk_scans)
    lifecycle.start(session, job_id, other_count=0)
    _record(session, scans, Verdict.REDONE, by, redo_job_id=job_id)
    return job_id


def redone(session: Session, scan: Scan) -> tuple[Scan, Job] | None:
    """The scan of the latest redo of this output, done or not, and its job; None if there was no redo."""
    review = latest(session, [scan.id]).get(scan.id)
    if review is None or review.redo_job_id is None:
        return None
    query = select(Scan).where(Scan.job_id == review.redo_job_id, Scan.output_key == scan.output_key)
    new_scan = session.scalar(query)
    return (new_scan, session.get_one(Job, review.redo_job_id)) if new_scan else None


def awaiting_choice(session: Session, job_id: int) -> list[int]:
    """The ids of the job's outputs that were made again beside the earlier ones, and for which nobody has
    chosen yet.
    """
    newest = (
        select(func.max(Review.id))
        .join(Scan, Scan.id == Review.scan_id)
        .where(Scan.job_id == job_id, Scan.verdict == Verdict.REDONE)
        .group_by(Review.scan_id)
    )
    waiting = (
        select(Review.scan_id)
        .join(Job, Job.id == Review.redo_job_id)
        .where(Review.id.in_(newest), Job.selection["beside"].as_boolean().is_(True))
    )
    return list(session.scalars(waiting.order_by(Review.scan_id)))
