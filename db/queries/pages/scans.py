"""Lists of a job's scans for the pages: filtered, and in one of several orders, which all have an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.errors import UsageError
from db.models.jobs import Job, Scan, ScanState
from db.queries.pages.cursors import Cursor, parse_cursor
from db.queries.reports.rows import OUTLIERS
from db.queries.scans import key_search
from db.queries.substrings import begins_with


@dataclass(frozen=True, slots=True)
class Order:
    """An order of scans: by `column` and then by id. If `column` is None, only by id, which is the order of the
    listing.

    `may_lack_value`: some scans have no value. They come after all others, in the order of the listing.
    """

    column: InstrumentedAttribute[Any] | None
    value_type: type
    descending: bool = False
    may_lack_value: bool = True


ORDERS = {
    "listing": Order(None, type(None), may_lack_value=False),
    "key": Order(Scan.source_key, str, may_lack_value=False),
    "doubtful": Order(Scan.review_weight, float, descending=True),
    "uncertain": Order(Scan.certainty, float),
    "colourful": Order(Scan.colourfulness, float, descending=True),
    "pale": Order(Scan.colourfulness, float),
}
# Scans of a job that a page compares with their folders. The view takes a third of a second for so many, and their ids
# fit into one statement of SQLite, which takes 32,766 values.
MOST_COMPARED = 30_000
UNREVIEWED = "none"  # as a value for the verdict: scans without one


@dataclass(frozen=True, slots=True)
class ScanFilter:
    """Which of a job's scans; a field that is None or False sets no condition."""

    state: str | None = None
    code: str | None = None
    verdict: str | None = None
    doubtful: bool = False
    key: str | None = None  # a part of the source's key; upper and lower case differ
    unlike: bool = False  # much more or less colourful than the others in their folder, or of other colours

    def conditions(self, session: Session, job_id: int) -> list[ColumnElement[bool]]:
        chosen: list[ColumnElement[bool]] = [Scan.job_id == job_id]
        if self.state:
            chosen.append(Scan.state == self.state)
        if self.code:
            chosen.append(Scan.error_code == self.code)
        if self.verdict:
            chosen.append(Scan.verdict.is_(None) if self.verdict == UNREVIEWED else Scan.verdict == self.verdict)
        if self.doubtful:
            chosen.append(Scan.review_weight.is_not(None))
        if self.unlike:
            chosen.append(_unlike_their_folder(session, job_id))
        if self.key:
            chosen += key_search.key_contains(session, job_id, self.key)
        return chosen


def _unlike_their_folder(session: Session, job_id: int) -> ColumnElement[bool]:
    """The view sorts all scans of the job five times, so a page of a large job takes seconds. A page has several lists
    and counts, so the view is read once for each session.

    Raises UsageError for a large job.
    """
    scan_count = session.scalar(select(Job.scan_count).where(Job.id == job_id)) or 0
    if scan_count > MOST_COMPARED:
        raise UsageError(
            f"job {job_id} has {scan_count:,} scans, and up to {MOST_COMPARED:,} are compared with their folders here; "
            f"see photochrom review {job_id}, or the view folder_outliers"
        )
    outliers: dict[int, list[int]] = session.info.setdefault("unlike_their_folder", {})
    if job_id not in outliers:
        outliers[job_id] = list(session.scalars(select(OUTLIERS.c.scan_id).where(OUTLIERS.c.job_id == job_id)))
    return Scan.id.in_(outliers[job_id])


@dataclass(frozen=True, slots=True)
class Page:
    """Some scans, and the cursors of the pages before and after them; None where there is no such page."""

    scans: Sequence[Scan]
    previous: Cursor | None
    next: Cursor | None


def page(
    session: Session, job_id: int, chosen: ScanFilter, order_name: str, cursor_text: str | None, *, limit: int
) -> Page:
    """Up to `limit` scans from the cursor on. Raises UsageError for an unknown order, or a cursor of another list."""
    order = _order(order_name)
    cursor = parse_cursor(cursor_text, order.value_type, may_lack_value=order.may_lack_value)
    backwards = cursor is not None and cursor.backwards
    rows = _rows(session, chosen.conditions(session, job_id), order, cursor, limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return Page((), None, None)
    before = more if backwards else cursor is not None
    after = backwards or more
    return Page(
        rows,
        cursor_of(rows[0], order_name, backwards=True) if before else None,
        cursor_of(rows[-1], order_name) if after else None,
    )


def _rows(
    session: Session, conditions: Sequence[ColumnElement[bool]], order: Order, cursor: Cursor | None, count: int
) -> list[Scan]:
    """Rows in the list's order. The ids are selected first: an index may give them without the table."""
    ids = _ids(session, conditions, order, cursor, count)
    scans = {scan.id: scan for scan in session.scalars(select(Scan).where(Scan.id.in_(ids)))}
    return [scans[scan_id] for scan_id in ids if scan_id in scans]


def _ids(
    session: Session, conditions: Sequence[ColumnElement[bool]], order: Order, cursor: Cursor | None, count: int
) -> list[int]:
    ids: list[int] = []
    for part in _parts(select(Scan.id).where(*conditions), order, cursor):
        if len(ids) < count:
            ids += session.scalars(part.limit(count - len(ids)))
    return ids


def count(session: Session, job_id: int, chosen: ScanFilter, *, limit: int) -> int:
    """How many scans the filter leaves, at most `limit`."""
    return _count(session, select(Scan.id).where(*chosen.conditions(session, job_id)), limit)


def position(session: Session, scan: Scan, chosen: ScanFilter, order_name: str, *, limit: int) -> int | None:
    """The scan's place in the list, from 1 on; None if it is not in the list, or if its place is beyond `limit`."""
    rows = select(Scan.id).where(*chosen.conditions(session, scan.job_id))
    if session.scalar(rows.where(Scan.id == scan.id)) is None:
        return None
    before = _parts(rows, _order(order_name), cursor_of(scan, order_name, backwards=True))
    place = 1 + sum(_count(session, part, limit) for part in before)
    return place if place <= limit else None


def _count(session: Session, rows: Select[Any], limit: int) -> int:
    return session.scalar(select(func.count()).select_from(rows.limit(limit).subquery())) or 0


def cursor_of(scan: Scan, order_name: str, *, backwards: bool = False) -> Cursor:
    column = _order(order_name).column
    return Cursor(None if column is None else getattr(scan, column.key), scan.id, backwards)


def neighbour(
    session: Session, scan: Scan, chosen: ScanFilter, order_name: str, *, backwards: bool = False
) -> int | None:
    """The id of the scan before or after this one in the list, even if this one is not in it; None at the end."""
    cursor: Cursor | None = cursor_of(scan, order_name, backwards=backwards)
    if chosen.doubtful and order_name == "doubtful" and scan.review_weight is None:
        # The scan has left the list, as a reviewed scan leaves the list of doubtful ones: begin at the top.
        cursor = None
    ids = _ids(session, chosen.conditions(session, scan.job_id), _order(order_name), cursor, 1)
    return ids[0] if ids else None


@dataclass(frozen=True, slots=True)
class Colours:
    """How colourful an output is, and its mean a*, b*; None if an earlier version made it."""

    colourfulness: float
    mean_ab: tuple[float, float] | None


def colours_of(scan: Scan) -> Colours | None:
    """The colours of the scan's output; None if there is none."""
    if scan.state != ScanState.DONE or scan.colourfulness is None:
        return None
    return _colours(scan.colourfulness, scan.mean_a, scan.mean_b)


def _colours(colourfulness: float, mean_a: float | None, mean_b: float | None) -> Colours:
    return Colours(colourfulness, None if mean_a is None or mean_b is None else (mean_a, mean_b))


def folder_colours(session: Session, scan: Scan, *, limit: int) -> dict[int, Colours]:
    """The colours of the job's outputs in the scan's folder by their ids, from the first `limit` in it and below it."""
    folder = scan.source_key.rpartition("/")[0]
    rows = session.execute(
        select(Scan.id, Scan.colourfulness, Scan.mean_a, Scan.mean_b, Scan.source_key)
        .where(
            Scan.job_id == scan.job_id,
            *([begins_with(Scan.source_key, f"{folder}/")] if folder else []),
            Scan.colourfulness.is_not(None),
            Scan.state == ScanState.DONE,
        )
        .order_by(Scan.source_key)
        .limit(limit)
    )
    return {row[0]: _colours(row[1] or 0.0, row[2], row[3]) for row in rows if row[4].rpartition("/")[0] == folder}


def remade_by(session: Session, scan: Scan, job: Job) -> tuple[int, datetime | None] | None:
    """The latest of the later jobs that have made this scan's output again, and when; None if there is none."""
    row = session.execute(
        select(Job.id, Scan.finished_at)
        .join(Job, Job.id == Scan.job_id)
        .where(
            Scan.output_key == scan.output_key,
            Scan.job_id > job.id,
            Scan.state == "done",
            Job.destination == job.destination,
        )
        .order_by(Scan.job_id.desc())
        .limit(1)
    ).first()
    return (row[0], row[1]) if row else None


def _order(name: str) -> Order:
    if name not in ORDERS:
        raise UsageError(f"{name!r} is not an order of scans; expected one of {', '.join(ORDERS)}")
    return ORDERS[name]


def _parts(query: Select[Any], order: Order, cursor: Cursor | None) -> list[Select[Any]]:
    """The list in one or two parts: the rows that have a value, and those that have none. An index gives each."""
    if order.column is None or not order.may_lack_value:
        return [_sorted(query, order, cursor)]
    backwards = cursor is not None and cursor.backwards
    lacking = query.where(order.column.is_(None))
    listing = ORDERS["listing"]
    if cursor is None or cursor.value is not None:
        parts = [_sorted(query, order, cursor)]
        return parts if backwards else [*parts, _sorted(lacking, listing, None)]
    parts = [_sorted(lacking, listing, cursor)]
    return [*parts, _sorted(query, order, None, backwards=True)] if backwards else parts


def _sorted(query: Select[Any], order: Order, cursor: Cursor | None, *, backwards: bool = False) -> Select[Any]:
    down = order.descending != (backwards or (cursor is not None and cursor.backwards))
    if order.column is None:
        columns: tuple[Any, ...] = (Scan.id,)
        values: tuple[Any, ...] = (literal(cursor.id),) if cursor else ()
    else:
        query = query.where(order.column.is_not(None))
        columns = (order.column, Scan.id)
        values = (literal(cursor.value, order.column.type), literal(cursor.id)) if cursor else ()
    if cursor is not None:
        position, boundary = tuple_(*columns), tuple_(*values)
        query = query.where(position < boundary if down else position > boundary)
    return query.order_by(*(column.desc() if down else column for column in columns))
