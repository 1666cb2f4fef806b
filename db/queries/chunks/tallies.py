"""Tallies: counts of scans by chunk, hour and worker, which the views add up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, cast, delete, func, insert, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from db.models.base import UtcDateTime
from db.models.jobs import Scan, ScanState, Tally


class hour_of(GenericFunction[datetime]):  # noqa: N801  a function of SQL's
    """The beginning of a moment's hour, in UTC."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(hour_of, "postgresql")
def _hour_of_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"date_trunc('hour', {compiler.process(element.clauses, **options)}, 'UTC')"


@compiles(hour_of, "sqlite")
def _hour_of_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # In the form in which SQLAlchemy stores times in SQLite, so that the two can be compared as texts.
    return f"strftime('%Y-%m-%d %H:00:00.000000', {compiler.process(element.clauses, **options)})"


def count(session: Session, chunk_ids: Sequence[int]) -> None:
    """Count the results of these chunks' scans again. This transaction must hold the chunks' rows."""
    session.execute(delete(Tally).where(Tally.chunk_id.in_(chunk_ids)).execution_options(synchronize_session=False))
    group = (Scan.chunk_id, hour_of(Scan.finished_at), func.coalesce(Scan.worker, literal_column("''")), Scan.job_id)
    done = Scan.state == ScanState.DONE
    counted = (
        select(
            *group,
            func.count().filter(done),
            func.count().filter(Scan.state == ScanState.FAILED),
            func.count().filter(Scan.state == ScanState.SKIPPED),
            func.coalesce(func.sum(cast(Scan.width, BigInteger) * Scan.height).filter(done), 0),
            func.coalesce(func.sum(Scan.source_bytes), 0),
            func.min(Scan.finished_at),
            func.max(Scan.finished_at),
        )
        .where(Scan.chunk_id.in_(chunk_ids), Scan.state != ScanState.PENDING, Scan.finished_at.is_not(None))
        .group_by(*group)
    )
    columns = ("chunk_id", "hour", "worker", "job_id", "done_count", "failed_count", "skipped_count")
    more = ("pixels", "source_bytes", "first_at", "last_at")
    session.execute(insert(Tally).from_select([*columns, *more], counted))
