"""A job's scans as CSV, a few rows at a time, because there may be a million."""

import io
from collections.abc import Iterator

from sqlalchemy import Engine

from db.queries.scans import records
from db.session import read_scope
from scheduler.export.csv_file import SCAN_COLUMNS, write_csv
from scheduler.rows import scan_row

_ROWS = 1_000


def csv_of_scans(engine: Engine, job_id: int) -> Iterator[bytes]:
    """Yields the parts of the CSV. Each part has its own transaction, so a slow reader holds no connection."""
    after, first = 0, True
    while True:
        with read_scope(engine) as session:
            scans = records.of_job(session, job_id, after_id=after, limit=_ROWS)
        buffer = io.StringIO(newline="")
        write_csv((scan_row(scan) for scan in scans), buffer, SCAN_COLUMNS)
        text = buffer.getvalue()
        if scans or first:
            yield (text if first else text.partition("\r\n")[2]).encode()
        if len(scans) < _ROWS:
            return
        after, first = scans[-1].id, False
