"""Finds in which chunks of a job a part of a key occurs, without reading every scan."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, insert, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.functions import GenericFunction

from db.models.chunk_keys import ChunkKeys
from db.models.jobs import Chunk, Scan

MOST_CHUNKS = 256  # if more chunks have the part, reading the list in its order finds it soon enough
_REMEMBERED = "chunks with a part of a key"


class position_of(GenericFunction[int]):  # noqa: N801  a function of SQL's
    """Where the second text begins within the first, from 1 on; 0 where it is not in it. Capitals count."""

    inherit_cache = True


@compiles(position_of, "postgresql")
def _position_of_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(position_of, "sqlite")
def _position_of_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


def note_keys(session: Session, chunk_ids: Sequence[int], keys: Sequence[Sequence[str]]) -> None:
    """Keep the keys of each of these chunks, in the transaction that inserts their scans."""
    rows = [{"chunk_id": chunk_id, "keys": "\n".join(group)} for chunk_id, group in zip(chunk_ids, keys, strict=True)]
    if rows:
        session.execute(insert(ChunkKeys), rows)


def key_contains(session: Session, job_id: int, part: str) -> list[ColumnElement[bool]]:
    """The conditions that the source key of one of the job's scans contains this part.

    If too many chunks have it, the scans before the first of these chunks are left out: a job's scans get their ids in
    the order of its chunks.
    """
    chunk_ids = _chunks_with(session, job_id, part)
    contains = _has(Scan.source_key, part)
    if len(chunk_ids) <= MOST_CHUNKS:
        return [Scan.chunk_id.in_(chunk_ids), contains]
    first_id = session.scalar(select(func.min(Scan.id)).where(Scan.chunk_id == chunk_ids[0]))
    return [contains] if first_id is None else [Scan.id >= first_id, contains]


def _chunks_with(session: Session, job_id: int, part: str) -> Sequence[int]:
    """The first chunks that have the part, at most MOST_CHUNKS + 1. A chunk whose keys were not kept may have it.

    The session remembers these chunks, because a page needs both the scans of a list and their number.
    """
    remembered: dict[tuple[int, str], Sequence[int]] = session.info.setdefault(_REMEMBERED, {})
    if (job_id, part) not in remembered:
        remembered[job_id, part] = _find_chunks(session, job_id, part)
    return remembered[job_id, part]


def _find_chunks(session: Session, job_id: int, part: str) -> Sequence[int]:
    query = (
        select(Chunk.id)
        .outerjoin(ChunkKeys, ChunkKeys.chunk_id == Chunk.id)
        .where(Chunk.job_id == job_id, or_(ChunkKeys.keys.is_(None), _has(ChunkKeys.keys, part)))
        .order_by(Chunk.id)
    )
    return session.scalars(query.limit(MOST_CHUNKS + 1)).all()


def _has(column: InstrumentedAttribute[str], part: str) -> ColumnElement[bool]:
    return position_of(column, part) > 0
