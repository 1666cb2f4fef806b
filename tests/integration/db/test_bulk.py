"""Scans in bulk: what a driver's own errors become."""

import pytest
from sqlalchemy import Engine

from db.errors import UsageError
from db.models import ScanState
from db.queries import jobs, scans
from db.queries.jobs import NewScan
from db.session import read_scope, session_scope
from tests.rows import make_job

ODD_KEYS = ["a\tb.png", "a\\nb\n.png", "\\.", "=cmd().png", "<script>.png", "a\u202eb.png", "é" * 512, "\"'.png"]


def test_a_key_comes_back_as_it_was_whatever_is_in_it(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    listed = [NewScan(key, "etag", 1, f"{key}.jpg") for key in ODD_KEYS]

    with session_scope(engine) as session:
        jobs.add_scans(session, job_id, listed, chunk_scans=3)

    with read_scope(engine) as session:
        found = scans.of_job(session, job_id)[1:]
    assert [(scan.source_key, scan.output_key, scan.state) for scan in found] == [
        (key, f"{key}.jpg", ScanState.PENDING) for key in ODD_KEYS
    ]


def test_two_scans_cannot_have_one_output(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    listed = [NewScan(key, "etag", 1, "same.jpg") for key in ("a.png", "b.png")]

    with pytest.raises(UsageError, match="same output"), session_scope(engine) as session:
        jobs.add_scans(session, job_id, listed, chunk_scans=3)
