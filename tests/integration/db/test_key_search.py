"""A part of a key is found among all scans of a job, whether few have it or many."""

import pytest
from sqlalchemy import Engine, delete, select
from sqlalchemy.event import listen

from db.models.chunk_keys import ChunkKeys
from db.models.jobs import Scan
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pages import scans
from db.queries.pages.scans import ScanFilter
from db.queries.scans import key_search
from db.session import read_scope, session_scope
from tests.rows import NOON

KEYS = [f"box {number // 10}/{number:04}.tif" for number in range(40)] + ["box 4/50%_Off.tif", "box 4/Ünder\nline.tif"]


@pytest.fixture
def job_id(engine: Engine) -> int:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="a box", source="s3://a/b", destination="s3://c/d", options={}, priority=0, now=NOON
        )
        lifecycle.add_scans(session, job_id, [NewScan(key, None, None, key) for key in KEYS], chunk_scans=4)
    return job_id


def search(engine: Engine, job_id: int, part: str, order: str = "listing") -> list[str]:
    """The keys that a search finds, over pages of three scans."""
    keys: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        with read_scope(engine) as session:
            page = scans.page(session, job_id, ScanFilter(key=part), order, cursor, limit=3)
        keys += [scan.source_key for scan in page.scans]
        cursor = str(page.next) if page.next else None
    return keys


@pytest.mark.parametrize("order", ["listing", "key"])
@pytest.mark.parametrize("part", ["0017", "box 2/", "tif", "nowhere", "%_O", "Ü", "r\nl", "f\nbox", "OFF"])
@pytest.mark.parametrize("most_chunks", [2, 256])
def test_a_part_of_a_key_is_found_wherever_it_is(
    engine: Engine, job_id: int, order: str, part: str, most_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_search, "MOST_CHUNKS", most_chunks)

    assert search(engine, job_id, part, order) == [key for key in KEYS if part in key]


def test_a_chunk_whose_keys_were_not_kept_is_searched_too(engine: Engine, job_id: int) -> None:
    with session_scope(engine) as session:
        session.execute(delete(ChunkKeys).where(ChunkKeys.chunk_id == 5))

    assert search(engine, job_id, "0017") == ["box 1/0017.tif"]


def test_the_keys_go_with_their_job(engine: Engine, job_id: int) -> None:
    with session_scope(engine) as session:
        lifecycle.remove(session, job_id)
        assert session.get(ChunkKeys, 1) is None


def test_the_keys_are_searched_once_for_a_list_and_its_number(engine: Engine, job_id: int) -> None:
    statements: list[str] = []
    listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with read_scope(engine) as session:
        chosen = ScanFilter(key="box 2/")
        scans.page(session, job_id, chosen, "listing", None, limit=3)
        assert scans.count(session, job_id, chosen, limit=100) == 10

    assert len([statement for statement in statements if "chunk_keys" in statement]) == 1


def test_scans_before_the_first_chunk_with_the_part_are_left_out(
    engine: Engine, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_search, "MOST_CHUNKS", 2)
    with read_scope(engine) as session:
        begins, _ = key_search.key_contains(session, job_id, "box 2/")
        first = session.scalars(select(Scan.source_key).where(begins).order_by(Scan.id)).first()

    assert first == "box 2/0020.tif"
