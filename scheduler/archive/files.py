"""The two Parquet files of an archived job. docs/archive.md explains each column.

A SHA-256 takes 32 bytes, which no compression makes smaller. So a row has only one: the output's, which proves what a
published picture is. The source's hash and ETag are in a second file, with the same rows in the same order.

Digits beyond the accuracy of a value also take space. So times of stages are stored with three digits, colours and
shares with one to three decimals, and moments to the millisecond. Each column has the encoding that suits it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import floor, log10
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from db.models.jobs import Job, Scan
from db.models.reviews import Review
from worker.observability.stages import STAGE_COLUMNS
from worker.storage.base import BLOCK_BYTES

ROW_GROUP = 50_000  # rows in memory at once
FORMAT = "2"  # of these files, in their metadata; another number for other columns

_WHOLE, _REAL, _TEXT = pa.int64(), pa.float32(), pa.string()
_MOMENT = pa.timestamp("ms", tz="UTC")
_HASH = pa.binary(32)
_REVIEW = pa.struct(
    [
        ("verdict", _TEXT),
        ("reviewed_by", _TEXT),
        ("reviewed_at", _MOMENT),
        ("note", _TEXT),
        ("redo_job_id", _WHOLE),
    ]
)
_DECIMALS = {
    "colourfulness": 2,
    "mean_a": 1,
    "mean_b": 1,
    "certainty": 3,
    "clipped_share": 3,
    "review_weight": 3,
    "saturation": 3,
    "doubtful_below": 6,
}
_PICTURE = ("width", "height", "bit_depth", "pages", "picture_left", "picture_top", "picture_width", "picture_height")

SCANS = pa.schema(
    [
        *((name, _WHOLE) for name in ("id", "chunk_id")),
        ("state", _TEXT),
        ("attempts", _WHOLE),
        *((name, _TEXT) for name in ("error_code", "error_message", "source_key")),
        ("source_bytes", _WHOLE),
        ("output_key", _TEXT),
        ("output_bytes", _WHOLE),
        ("output_sha256", _HASH),
        *((name, _WHOLE) for name in _PICTURE),
        *((name, _TEXT) for name in ("lost_metadata", "software", "checkpoint", "head", "embedding", "precision")),
        ("input_px", _WHOLE),
        ("worker", _TEXT),
        *((name, _REAL) for name in (*STAGE_COLUMNS, *_DECIMALS)),
        ("verdict", _TEXT),
        ("finished_at", _MOMENT),
        ("reviews", pa.list_(_REVIEW)),
    ]
)
SOURCES = pa.schema([("id", _WHOLE), ("source_etag", _TEXT), ("etag_bytes", pa.binary(16)), ("source_sha256", _HASH)])

# Numbers that grow from row to row are stored as differences. Of a key, only the part that differs from the key before
# is stored.
_DIFFERENCES = ("id", "chunk_id", "source_bytes", "output_bytes", "width", "height", "finished_at")
_ENCODINGS = {
    **dict.fromkeys(_DIFFERENCES, "DELTA_BINARY_PACKED"),
    **dict.fromkeys(("source_key", "output_key"), "DELTA_BYTE_ARRAY"),
    **dict.fromkeys(("output_sha256", "source_sha256", "etag_bytes"), "PLAIN"),
}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One of the two files, on this machine."""

    path: Path
    scans: int


class ArchiveWriter:
    """Writes both files of a job in one pass over its scans. `write` takes a page of scans, sorted by their ids."""

    def __init__(self, job: Job, scans_path: Path, sources_path: Path) -> None:
        self.count = 0
        self._waiting: list[tuple[Scan, Sequence[Review]]] = []
        self._files = [_open(scans_path, SCANS, job), _open(sources_path, SOURCES, job)]

    def write(self, scans: Sequence[Scan], reviews: Mapping[int, Sequence[Review]]) -> None:
        """Write one page of scans to both files. `reviews`: all reviews of these scans, by the scan's id, the oldest
        first.
        """
        self._waiting += [(scan, reviews.get(scan.id, ())) for scan in scans]
        while len(self._waiting) >= ROW_GROUP:
            self._write_group(ROW_GROUP)

    def close(self) -> None:
        """Finish both files. Without this call they can't be read."""
        if self._waiting:
            self._write_group(len(self._waiting))
        for file in self._files:
            file.close()

    def _write_group(self, count: int) -> None:
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        for file, schema in zip(self._files, (SCANS, SOURCES), strict=True):
            columns = [pa.array([_value(row, field.name) for row in rows], type=field.type) for field in schema]
            file.write_table(pa.Table.from_arrays(columns, schema=schema))
        self.count += len(rows)


def _open(path: Path, schema: pa.Schema, job: Job) -> pq.ParquetWriter:
    known = {
        "photochrom.archive": FORMAT,
        "photochrom.job": str(job.id),
        "photochrom.name": job.name.encode("utf-8", "backslashreplace"),
        "photochrom.source": job.source.encode("utf-8", "backslashreplace"),
        "photochrom.destination": job.destination.encode("utf-8", "backslashreplace"),
    }
    names = set(schema.names)
    return pq.ParquetWriter(
        path,
        schema.with_metadata(known),
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in names - _ENCODINGS.keys() if name != "reviews"],
        column_encoding={name: encoding for name, encoding in _ENCODINGS.items() if name in names},
    )


def _value(row: tuple[Scan, Sequence[Review]], name: str) -> Any:
    scan, reviews = row
    if name == "reviews":
        return [_review(review) for review in reviews] or None
    if name in ("source_etag", "etag_bytes"):
        return _etag(scan.source_etag, as_bytes=name == "etag_bytes")
    value = getattr(scan, name)
    if value is None:
        return None
    if name in ("output_sha256", "source_sha256"):
        return bytes.fromhex(value)
    if name in STAGE_COLUMNS:
        return three_digits(value)
    if name in _DECIMALS:
        return round(value, _DECIMALS[name])
    return _text(value) if isinstance(value, str) else value


def _etag(etag: str | None, *, as_bytes: bool) -> Any:
    """Most ETags are MD5s, which take half of the space as bytes. Any other ETag is stored as text."""
    is_md5 = etag is not None and len(etag) == 32 and all(digit in "0123456789abcdef" for digit in etag)
    if as_bytes:
        return bytes.fromhex(etag) if etag is not None and is_md5 else None
    return None if etag is None or is_md5 else _text(etag)


def _review(review: Review) -> dict[str, Any]:
    values = {field.name: getattr(review, field.name) for field in _REVIEW}
    return {name: _text(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(value: str) -> str:
    """A byte of a file name that is no UTF-8 is a lone surrogate, which no Parquet file can hold."""
    return value.encode("utf-8", "backslashreplace").decode()


def three_digits(value: float) -> float:
    """The number, rounded to three significant digits."""
    return round(value, 2 - floor(log10(abs(value)))) if value else 0.0


def count_rows(path: Path) -> int:
    """Read every row of an archive's file and count them. Raises pyarrow.ArrowException if the file is damaged."""
    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches(batch_size=ROW_GROUP))


def archived_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an archive's file, one at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BLOCK_BYTES // 256):
            yield from batch.to_pylist()


def in_groups(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while group := list(islice(remaining, size)):
        yield group
