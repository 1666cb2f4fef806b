"""Outputs of a job that a person names: by keys, by patterns, or all that have no verdict yet."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models.jobs import Scan, ScanState
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from scheduler.submission.manifest import matches

_PART = 1_000
_WILDCARDS = set("*?[")


def outputs_named(session: Session, job_id: int, names: Sequence[str]) -> list[int]:
    """The ids of done scans whose source key or output key is one of `names`, or matches a name that is a pattern.

    Patterns are like those of --include. A name that is a key is not used as a pattern. Raises NotFound if a name
    matches nothing.
    """
    lifecycle.get(session, job_id)
    keys = _ids_by_key(session, job_id, names)
    ids = {scan_id for key_ids in keys.values() for scan_id in key_ids}
    patterns = [name for name in names if name not in keys and _WILDCARDS & set(name)]
    fitting = _ids_by_pattern(session, job_id, patterns) if patterns else {}
    if missing := [name for name in names if name not in keys and name not in fitting]:
        more = f" and for {len(missing) - 1} others" if len(missing) > 1 else ""
        raise NotFound(
            f"job {job_id} has no output for {missing[0]!r}{more}, so nothing was recorded; "
            f"photochrom scans {job_id} lists its scans"
        )
    return sorted(ids.union(*fitting.values()))


def outputs_without_verdict(session: Session, job_id: int) -> list[int]:
    """The ids of done scans without a verdict. Raises NotFound if there is none."""
    lifecycle.get(session, job_id)
    ids = list(session.scalars(select(Scan.id).where(*_done(job_id), Scan.verdict.is_(None)).order_by(Scan.id)))
    if not ids:
        raise NotFound(f"every output of job {job_id} has a verdict; photochrom review {job_id} --reviewed lists them")
    return ids


def outputs_made_again(session: Session, job_id: int) -> list[int]:
    """The ids of outputs with two results, of which nobody has chosen one. Raises NotFound if there are none."""
    lifecycle.get(session, job_id)
    ids = reviews.awaiting_choice(session, job_id)
    if not ids:
        raise NotFound(f"job {job_id} has no output with two results; photochrom review {job_id} redo KEY makes one")
    return ids


def _ids_by_key(session: Session, job_id: int, names: Sequence[str]) -> dict[str, set[int]]:
    ids: dict[str, set[int]] = {}
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        for column in (Scan.source_key, Scan.output_key):
            for key, scan_id in session.execute(select(column, Scan.id).where(*_done(job_id), column.in_(part))):
                ids.setdefault(key, set()).add(scan_id)
    return ids


def _ids_by_pattern(session: Session, job_id: int, patterns: Sequence[str]) -> dict[str, set[int]]:
    ids: dict[str, set[int]] = {}
    rows = select(Scan.id, Scan.source_key, Scan.output_key).where(*_done(job_id))
    for scan_id, source_key, output_key in session.execute(rows.execution_options(yield_per=_PART)):
        for pattern in patterns:
            if matches(source_key, [pattern], ()) or matches(output_key, [pattern], ()):
                ids.setdefault(pattern, set()).add(scan_id)
    return ids


def _done(job_id: int) -> tuple[ColumnElement[bool], ...]:
    return Scan.job_id == job_id, Scan.state == ScanState.DONE
