"""Prefixes and parts of keys are compared literally, on SQLite and on PostgreSQL."""

import pytest
from sqlalchemy import Engine

from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pages import jobs as job_pages
from db.queries.pages import scans as scan_pages
from db.queries.pages.jobs import JobFilter
from db.queries.pages.scans import ScanFilter
from db.session import read_scope, session_scope
from tests.rows import NOON


def add(engine: Engine, source: str, *keys: str) -> int:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name=source, source=source, destination=f"{source}/colour", options={}, priority=0, now=NOON
        )
        lifecycle.add_scans(session, job_id, [NewScan(key, "e", 1, key) for key in keys or ("1",)], chunk_scans=64)
    return job_id


@pytest.mark.parametrize("other", ["/data/MAPS", "/data/mapsx", "/data/map_", "/DATA/maps/box", "/data/%"])
def test_an_account_sees_jobs_within_its_prefix_alone(engine: Engine, other: str) -> None:
    own = [add(engine, "/data/maps"), add(engine, "/data/maps/box")]
    add(engine, other)

    with read_scope(engine) as session:
        seen = job_pages.page(session, JobFilter(prefixes=["/data/maps"]), before=None, limit=9)[0]

    assert sorted(progress.job.id for progress in seen) == own


@pytest.mark.parametrize(("part", "keys"), [("box", ["box/1"]), ("BOX", ["BOX/1"]), ("_", ["a_b"]), ("%", ["a%b"])])
def test_a_part_of_a_key_is_looked_for_as_it_stands(engine: Engine, part: str, keys: list[str]) -> None:
    job_id = add(engine, "/data", "box/1", "BOX/1", "a_b", "a%b", "axb")

    with read_scope(engine) as session:
        page = scan_pages.page(session, job_id, ScanFilter(key=part), "listing", None, limit=9)

    assert [scan.source_key for scan in page.scans] == keys
