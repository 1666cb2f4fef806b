"""Tallies: counts of scans by chunk, hour and worker, which the views add up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, cast, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
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


# A scan that failed while the source was listed has neither a worker nor an attempt.
WAS_TRIED = Scan.worker.is_not(None) | (Scan.attempts > 0)
_KEY = ("chunk_id", "hour", "worker")
_COUNTED = ("done_count", "failed_count", "skipped_count", "pixels", "source_bytes", "first_at", "last_at")


def count(session: Session, chunk_ids: Sequence[int], *, is_retry: bool) -> None:
    """Count the results of these chunks' scans again. This transaction must hold the chunks' rows.

    Scans that failed while the source was listed are not counted: nobody worked on them, so they do not count for the
    pace.

    is_retry: some of the scans had ended and are pending again, so some rows may have to be deleted. Otherwise,
    existing rows are only updated, which changes no index.
    """
    if is_retry:
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
        .where(Scan.chunk_id.in_(chunk_ids), Scan.state != ScanState.PENDING, Scan.finished_at.is_not(None), WAS_TRIED)
        .group_by(*group)
    )
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = dialect.insert(Tally).from_select([*_KEY, "job_id", *_COUNTED], counted)
    session.execute(
        rows.on_conflict_do_update(index_elements=_KEY, set_={name: rows.excluded[name] for name in _COUNTED})
    )
