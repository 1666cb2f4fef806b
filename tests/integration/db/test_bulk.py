"""Scans in bulk: keys and numbers come back as they were, and two scans never have one output."""

import numpy as np
import pytest
from sqlalchemy import Engine

from db.errors import UsageError
from db.models.jobs import ScanState
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from tests.rows import NOON, make_job

ODD_KEYS = ["a\tb.png", "a\\nb\n.png", "\\.", "=cmd().png", "<script>.png", "a\u202eb.png", "é" * 512, "\"'.png"]


def test_a_key_comes_back_as_it_was_whatever_is_in_it(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    listed = [NewScan(key, "etag", 1, f"{key}.jpg") for key in ODD_KEYS]

    with session_scope(engine) as session:
        lifecycle.add_scans(session, job_id, listed, chunk_scans=3)

    with read_scope(engine) as session:
        found = scans.of_job(session, job_id)[1:]
    assert [(scan.source_key, scan.output_key, scan.state) for scan in found] == [
        (key, f"{key}.jpg", ScanState.PENDING) for key in ODD_KEYS
    ]


def test_measurements_are_recorded_whatever_their_number_type_is(engine: Engine) -> None:
    """A number can be numpy's, whole, or missing. Where the size is missing, the listing's size stays."""
    job_id = make_job(engine, scan_count=3)
    measured = [
        ScanMeasurements(1, fetch_ms=2),
        ScanMeasurements(fetch_ms=0.5, certainty=np.float64(0.25)),
        ScanMeasurements(4, width=5),
    ]

    with session_scope(engine) as session:
        listed = scans.of_job(session, job_id)
        records = [
            ScanRecord(each.id, ScanState.PENDING, 1, its, "w", NOON)
            for each, its in zip(listed, measured, strict=True)
        ]
        scans.record(session, records)

    with read_scope(engine) as session:
        found = scans.of_job(session, job_id)
    assert [(each.source_bytes, each.fetch_ms, each.width, each.certainty) for each in found] == [
        (1, 2.0, None, None),
        (1000, 0.5, None, 0.25),
        (4, None, 5, None),
    ]


def test_two_scans_cannot_have_one_output(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    listed = [NewScan(key, "etag", 1, "same.jpg") for key in ("a.png", "b.png")]

    with pytest.raises(UsageError, match="same output"), session_scope(engine) as session:
        lifecycle.add_scans(session, job_id, listed, chunk_scans=3)
