"""What happened to one scan over all jobs: found by key or place, a page at a time, and only within one's prefixes."""

import re
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text

from db.models.archives import ArchivedScan
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pages import scan_search
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import users
from tests.integration.web.conftest import Web
from tests.rows import NOON


def add_job(engine: Engine, source: str, key: str, output_key: str | None = None) -> int:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="more", source=source, destination=f"{source}-colour", options={}, priority=0, now=NOON
        )
        scans = [NewScan(key, None, 1, output_key or key)]
        lifecycle.add_scans(session, job_id, scans, chunk_scans=64)
    return job_id


def found(web: Web, key: str, **parameters: object) -> list[int]:
    answer = web.browser().get("/api/v1/scans", params={"key": key, **parameters})
    return [scan["job_id"] for scan in answer.json()["scans"]]


def test_a_scan_is_found_by_its_key_its_place_and_its_outputs_place(web: Web, engine: Engine) -> None:
    add_job(engine, str(web.source), "box/0.jpg", "box/0.jpg.tif")
    add_job(engine, "s3://elsewhere", "box/0.jpg")

    assert found(web, "box/0.jpg") == [3, 2, 1]
    assert found(web, f"{web.source}/box/0.jpg") == [2, 1]
    assert found(web, f"{web.source}-colour/box/0.jpg.tif") == [2]
    assert found(web, f"{web.destination}/box/0.jpg") == [1]
    assert found(web, "box/9.jpg") == found(web, "0.jpg") == []
    page = web.browser().get("/scans", params={"key": "s3://elsewhere/box/0.jpg"}).text
    assert '<a href="/jobs/3/scans/' in page
    assert '<a href="/jobs/1/scans/' not in page


def test_a_search_is_paged(web: Web, engine: Engine) -> None:
    for number in range(4):
        add_job(engine, f"s3://place-{number}", "box/0.jpg")
    client, jobs, cursor = web.browser(), [], ""
    while cursor is not None:
        page = client.get("/api/v1/scans", params={"key": "box/0.jpg", "limit": 2, "cursor": cursor}).json()
        jobs.append([scan["job_id"] for scan in page["scans"]])
        cursor = page["next"]

    assert jobs == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize("cursor", ["x", "WyIwIiwxLDBd", "Wy0xLDEsMF0", "WzFlNDAwLDEsMF0"])
def test_a_cursor_of_another_list_is_refused(web: Web, cursor: str) -> None:
    for path in ("/scans", "/api/v1/scans"):
        assert web.browser().get(path, params={"key": "box/0.jpg", "cursor": cursor}).status_code == 422


def test_nobody_finds_a_scan_outside_their_prefixes(web: Web, engine: Engine) -> None:
    add_job(engine, "s3://ours/maps", "box/0.jpg")
    ada = Actor("ada")
    users.add(engine, "vera", ada, role="viewer", password=None, prefixes=["s3://ours"])
    _, token = users.new_token(engine, "vera", ada, label="a program")
    client = web.browser(authorization=f"Bearer {token}")

    answer = client.get("/api/v1/scans", params={"key": "box/0.jpg"}).json()

    assert [scan["job_id"] for scan in answer["scans"]] == [2]
    assert client.get("/api/v1/scans", params={"key": f"{web.source}/box/0.jpg"}).json()["scans"] == []


def test_the_history_of_a_scan_has_the_jobs_with_another_prefix_of_the_same_file(web: Web, engine: Engine) -> None:
    add_job(engine, str(web.source / "box"), "0.jpg")
    add_job(engine, "s3://elsewhere", "box/0.jpg")

    page = web.browser().get("/jobs/1/scans/1").text

    assert '<a href="/jobs/2/scans/' in page
    assert '<a href="/jobs/3/scans/' not in page


def test_a_key_with_a_thousand_folders_is_looked_up(web: Web) -> None:
    assert found(web, "a/" * 1_000 + "b") == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_search_reads_indexes_and_no_whole_table(engine: Engine) -> None:
    job_id = add_job(engine, "s3://many", "first.tif")
    fill = """INSERT INTO scan (job_id, chunk_id, state, attempts, source_key, output_key)
              SELECT :job, (SELECT id FROM chunk), 'pending', 0, 'box/' || n, 'box/' || n
              FROM generate_series(1, 50000) AS n"""
    with session_scope(engine) as session:
        session.execute(text(fill), {"job": job_id})
        session.execute(text("ANALYZE"))
    seen: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
    with read_scope(engine) as session:
        rows = scan_search.find(session, "s3://many/box/777", prefixes=None, limit=50).rows
    queries = [call for call in seen if "found" in call[0]]
    with engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN {query}", values).scalars() for query, values in queries]
        steps = [step for plan in plans for step in plan]

    assert [scan.source_key for scan, _ in rows] == ["box/777"]
    assert any("scan_by_source_key" in step for step in steps)
    assert [step for step in steps if "Seq Scan on scan" in step] == []


def test_a_search_reads_no_whole_table_of_archived_scans(engine: Engine) -> None:
    job_id = add_job(engine, "s3://many", "first.tif")
    with session_scope(engine) as session:
        rows = [
            {"job_id": job_id, "scan_id": number, "state": "done", "source_key": f"box/{number}"}
            for number in range(10, 10_010)
        ]
        session.execute(insert(ArchivedScan), rows)
        if engine.dialect.name == "postgresql":  # which does so by itself; on SQLite nobody does
            session.execute(text("ANALYZE"))
    seen: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
    with read_scope(engine) as session:
        rows_found = scan_search.find(session, "s3://many/box/777", prefixes=None, limit=50).rows
    [(query, values)] = [call for call in seen if "FROM archived_scan" in call[0]]
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        steps = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {query}", values)]

    assert [scan.source_key for scan, _ in rows_found] == ["box/777"]
    assert any("archived_scan_by_source_key" in step for step in steps)
    whole = re.compile(r"Seq Scan on archived_scan|SCAN archived_scan|ANY\(job_id\)")
    assert [step for step in steps if whole.search(step)] == []
