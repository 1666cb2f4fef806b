"""A job's scans as Parquet, for DuckDB, pandas and Spark: one row for each scan, one column for each column of the
table.

Imported only when it is needed, because pyarrow comes with `photochrom[archive]`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Boolean, DateTime, Float, Integer

from db.models.base import UtcDateTime
from db.models.jobs import Job, Scan

ROW_GROUP = 50_000  # rows in memory at once
# These are hexadecimal in the table. As bytes they take half of the room.
_HASHES = ("source_sha256", "output_sha256")


def write_parquet(scans: Iterable[Scan], path: Path, job: Job) -> int:
    """Write every column of `scans`, which are all of one job. The job's row is in the file's metadata.

    Returns how many scans.

    Numbers are int64 or float, times timestamp[us, UTC], hashes 32 bytes, all else strings.
    """
    schema = _schema().with_metadata(
        {"photochrom.job": str(job.id), "photochrom.source": job.source, "photochrom.destination": job.destination}
    )
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=9) as writer:
        for rows in _groups(scans):
            columns = [_column(rows, field) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(rows)
    return count


def _schema() -> pa.Schema:
    return pa.schema([(column.name, _type(column.name, column.type)) for column in Scan.__table__.columns])


def _type(name: str, type_: object) -> pa.DataType:
    if name in _HASHES:
        return pa.binary(32)
    if isinstance(type_, (UtcDateTime, DateTime)):
        return pa.timestamp("us", tz="UTC")
    if isinstance(type_, Boolean):
        return pa.bool_()
    if isinstance(type_, Integer) or getattr(getattr(type_, "impl", None), "python_type", None) is int:
        return pa.int64()
    return pa.float32() if isinstance(type_, Float) else pa.string()


def _column(rows: Sequence[Scan], field: pa.Field) -> pa.Array:
    values = (getattr(row, field.name) for row in rows)
    if field.name in _HASHES:
        values = (bytes.fromhex(value) if value else None for value in values)
    elif pa.types.is_string(field.type):
        # A byte of a file name that is not UTF-8 is a lone surrogate, which a Parquet file can't hold.
        values = (value if value is None else value.encode("utf-8", "backslashreplace").decode() for value in values)
    return pa.array(values, type=field.type)


def _groups(scans: Iterable[Scan]) -> Iterator[list[Scan]]:
    remaining = iter(scans)
    while rows := list(islice(remaining, ROW_GROUP)):
        yield rows
