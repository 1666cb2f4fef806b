"""What happened to one scan over all jobs, a page at a time, with the jobs that are archived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from db.models.archives import OUTPUT_KEY, ArchivedScan
from db.models.jobs import Job, Scan
from db.queries.pages.cursors import Cursor, parse_cursor
from db.queries.pages.jobs import within
from db.queries.scans.history import keys_of

# A place is looked up without its first folders, up to this many. They are those of a job's source or destination.
MOST_FOLDERS = 64


@dataclass(frozen=True, slots=True)
class FoundScans:
    """Some rows of one scan, the latest job first, and the cursor of the next page; None after the last page."""

    rows: Sequence[tuple[Scan | ArchivedScan, Job]]
    next: Cursor | None


def find(
    session: Session,
    place: str,
    *,
    prefixes: Sequence[str] | None,
    limit: int,
    cursor_text: str | None = None,
    sources_alone: bool = False,
) -> FoundScans:
    """The rows of one scan in every job under these prefixes.

    place: as for db.queries.scans.history.history. sources_alone: only scans whose source is at this whole path or s3://
    location, whichever prefix a job has for its source. Raises UsageError for a cursor of another list.
    """
    cursor = parse_cursor(cursor_text, int)
    # The archived scans are read last, so that a scan that is archived meanwhile is in one of the two.
    live = _rows(
        session, _Columns(Scan, Scan.id, (Scan.id,), Scan.output_key), place, prefixes, cursor, limit + 1, sources_alone
    )
    archived_columns = _Columns(
        ArchivedScan, ArchivedScan.scan_id, (ArchivedScan.job_id, ArchivedScan.scan_id), OUTPUT_KEY
    )
    archived = _rows(session, archived_columns, place, prefixes, cursor, limit + 1, sources_alone)
    merged = {_position(scan): (scan, job) for scan, job in (*archived, *live)}
    positions = sorted(merged, reverse=True)[: limit + 1]
    rows = [merged[position] for position in positions[:limit]]
    return FoundScans(rows, Cursor(*positions[limit - 1]) if len(positions) > limit else None)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The table of scans, or that of archived scans."""

    table: type[Scan] | type[ArchivedScan]
    id: Any
    primary_key: tuple[Any, ...]
    output_key: Any

    def names(self, *, sources_alone: bool) -> list[tuple[Any, Any]]:
        """Each key of a scan, and the place of the job in which it lies."""
        source = (self.table.source_key, Job.source)
        return [source] if sources_alone else [source, (self.output_key, Job.destination)]


def _rows(
    session: Session,
    columns: _Columns,
    place: str,
    prefixes: Sequence[str] | None,
    cursor: Cursor | None,
    count: int,
    sources_alone: bool,
) -> list[tuple[Scan | ArchivedScan, Job]]:
    table, names = columns.table, columns.names(sources_alone=sources_alone)
    whole = [(folder + literal("/")).concat(key) == place for key, folder in names]
    alone = [] if sources_alone else [key == place for key, _ in names]
    query = (
        select(table, Job)
        .join(Job, Job.id == table.job_id)
        .where(
            tuple_(*columns.primary_key).in_(_primary_keys(columns, names, place)),
            or_(*whole, *alone),
            *within(prefixes),
        )
        .order_by(table.job_id.desc(), columns.id.desc())
        .limit(count)
    )
    if cursor is not None:
        query = query.where(tuple_(table.job_id, columns.id) < tuple_(literal(cursor.value), literal(cursor.id)))
    rows: list[Any] = list(session.execute(query))
    return [(row[0], row[1]) for row in rows]


def _primary_keys(columns: _Columns, names: Sequence[tuple[Any, Any]], place: str) -> Select[Any]:
    """The scans with one of the keys that the place may have. An index has them, so they are found before anything
    else: in the order of the list, a rare key would be looked for in every row.

    Whole primary keys are compared, because a part of one has no index of its own.
    """
    keys = keys_of(place)[:MOST_FOLDERS]
    matching = select(*columns.primary_key).where(or_(*(key.in_(keys) for key, _ in names)))
    return select(matching.cte("found").prefix_with("MATERIALIZED", dialect="postgresql"))


def _position(scan: Scan | ArchivedScan) -> tuple[int, int]:
    return scan.job_id, scan.id if isinstance(scan, Scan) else scan.scan_id
