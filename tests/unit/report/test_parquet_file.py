"""A job's scans as Parquet, read by DuckDB."""

from pathlib import Path

import duckdb

from db.models.jobs import Job, Scan, ScanState
from scheduler.export.parquet_file import write_parquet
from tests.rows import NOON

SHA256 = "0123456789abcdef" * 4


def scan(number: int) -> Scan:
    return Scan(
        id=number,
        job_id=1,
        chunk_id=1 + number // 64,
        state=ScanState.DONE,
        attempts=1,
        source_key=f"box 1/{number:05}.tif",
        output_key=f"box 1/{number:05}\udce4.jpg",
        source_bytes=1_000_000_000_000,
        source_sha256=SHA256,
        output_sha256=SHA256,
        certainty=0.5,
        finished_at=NOON,
    )


def test_duckdb_reads_every_column_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "scans.parquet"
    job = Job(id=1, source="s3://archive/plates", destination="s3://colour")
    assert write_parquet((scan(number) for number in range(100)), path, job) == 100
    with duckdb.connect() as connection:
        row = connection.execute(
            f"SELECT count(*), sum(source_bytes), min(hex(source_sha256)), max(epoch(finished_at)), avg(certainty), "
            f"max(output_key), count(verdict) FROM '{path}' WHERE source_key LIKE 'box 1/%'"
        ).fetchone()
        columns = {line[0] for line in connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}

    expected = (100, 100 * 1_000_000_000_000, SHA256.upper(), NOON.timestamp(), 0.5, "box 1/00099\\udce4.jpg", 0)
    assert row == expected
    assert columns == set(Scan.__table__.columns.keys())
