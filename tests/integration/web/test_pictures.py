"""Pictures come from the stores, within limits, and are kept."""

import asyncio
import io
import tempfile
from pathlib import Path

import pytest
import pyvips
from PIL import Image
from sqlalchemy import Engine

from scheduler.web.pictures.cache import DiskCache
from scheduler.web.pictures.files import PictureFile
from scheduler.web.pictures.pool import PicturePool, _Child
from tests.integration.web.conftest import Web, make_web
from worker.errors import ScanError

SMALL = "/jobs/1/scans/1/after/small.jpg"


def test_a_thumbnail_is_made_once_and_told_apart_by_its_etag(web: Web) -> None:
    browser = web.browser()
    first = browser.get(SMALL)
    kept = browser.get(SMALL, headers={"if-none-match": first.headers["etag"]})

    assert Image.open(io.BytesIO(first.content)).size == (300, 200)
    assert (kept.status_code, kept.content) == (304, b"")
    (web.destination / "box/0.jpg").unlink()
    assert browser.get(SMALL).content == first.content


def test_a_large_picture_is_looked_at_in_tiles(web: Web) -> None:
    from tests.integration.web.conftest import write_picture

    write_picture(web.source / "box/1.jpg", 1, bands=1, width=1500, height=700)
    browser = web.browser()
    about = browser.get("/jobs/1/scans/2/before/tiles.json").json()
    tile = browser.get("/jobs/1/scans/2/before/tiles/0/2/1.jpg")

    assert about["levels"] == [[1500, 700], [750, 350], [375, 175]]
    assert Image.open(io.BytesIO(tile.content)).size == (1500 - 2 * 512, 700 - 512)
    assert browser.get("/jobs/1/scans/2/before/tiles/0/9/9.jpg").status_code == 404


def test_the_process_that_makes_pictures_is_started_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOCHROM_NOTICES_SECRET", "a secret of ours")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "which reads S3")
    child = _Child(1 << 30)
    try:
        child._running()
        assert child._process is not None
        environment = Path(f"/proc/{child._process.pid}/environ").read_bytes()
    finally:
        child.stop()

    assert b"which reads S3" in environment
    assert b"a secret of ours" not in environment


def test_a_download_leaves_nothing_behind(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    browser, place = web.browser(), "/jobs/1/scans/2/after/file"

    assert browser.get(place).status_code == 200
    assert browser.get(place, headers={"range": "bytes=x-y"}).status_code == 400
    assert browser.get(place, headers={"range": "bytes=99999999-"}).status_code == 416
    (web.destination / "box/1.jpg").unlink()
    assert browser.get(place).status_code == 404
    assert list((tmp_path / "temporary").glob("photochrom-*")) == []


def test_a_damaged_file_is_a_picture_that_says_so(web: Web) -> None:
    (web.source / "box/3.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than this")

    answer = web.browser().get("/jobs/1/scans/4/before/small.jpg")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "image/svg+xml"
    assert b"No picture" in answer.content


def test_a_scan_beyond_the_limits_is_not_opened(engine: Engine, web: Web, tmp_path: Path) -> None:
    small = make_web(engine, tmp_path / "small", web.source, web.destination, max_scan_pixels=1000)
    try:
        answer = small.browser().get(SMALL)
    finally:
        small.context.pictures.stop()

    assert answer.status_code == 422
    assert b"PHOTOCHROM_MAX_SCAN_PIXELS" in answer.content


def test_a_process_that_dies_costs_one_picture(web: Web) -> None:
    pool = PicturePool(1, memory_bytes=1 << 30, seconds=30)

    async def kill_and_ask() -> object:
        with pytest.raises(ScanError):
            await pool.run({"task": "tile", "path": "/none", "level": 0, "column": 0, "row": 0})
        pool._children[0]._process.kill()  # type: ignore[union-attr]
        await asyncio.to_thread(pool._children[0]._process.wait)  # type: ignore[union-attr]
        with pytest.raises(ScanError, match="can't be read"):
            await pool.run({"task": "tile", "path": "/none", "level": 0, "column": 0, "row": 0})
        return True

    assert asyncio.run(kill_and_ask())
    pool.stop()


def test_a_picture_that_takes_too_long_is_given_up() -> None:
    pool = PicturePool(1, memory_bytes=1 << 30, seconds=0.001)

    with pytest.raises(ScanError, match="took longer"):
        asyncio.run(pool.run({"task": "levels", "path": "/none"}))
    pool.stop()


def test_the_cache_never_grows_beyond_its_bound_and_keeps_what_was_asked_for_last(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 250)
    for name in ("one", "two", "three"):
        part = cache.new_part()
        part.write_bytes(b"x" * 100)
        cache.put(name, part)
        cache.get("one")

    assert [cache.get(name) is not None for name in ("one", "two", "three")] == [True, False, True]
    assert DiskCache(tmp_path / "cache", 250).bytes == cache.bytes == 200


@pytest.mark.parametrize("key", ["../secret.jpg", "/etc/hostname", "box/../../secret.jpg"])
def test_a_key_never_leads_out_of_its_job(web: Web, key: str) -> None:
    secret = web.source.parent / "secret.jpg"
    pyvips.Image.black(8, 8).write_to_file(str(secret))

    with pytest.raises(ScanError) as refused:
        asyncio.run(web.context.pictures.thumbnail(PictureFile(str(web.source), key, None, "1"), "small"))
    assert refused.value.code == "unsafe_key"


def test_the_whole_file_can_be_had(web: Web) -> None:
    answer = web.browser().get("/jobs/1/scans/1/after/file")

    assert answer.content == (web.destination / "box/0.jpg").read_bytes()
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''0.jpg"
