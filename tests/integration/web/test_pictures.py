"""Pictures come from the stores, within limits, and are kept."""

import asyncio
import io
import os
import resource
import tempfile
import time
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
import pyvips
from PIL import Image
from sqlalchemy import Engine

from scheduler.web.pictures import child as child_module
from scheduler.web.pictures import pool as pool_module
from scheduler.web.pictures import service
from scheduler.web.pictures.cache import DiskCache
from scheduler.web.pictures.files import PictureFile
from scheduler.web.pictures.pool import PicturePool, _Child
from scheduler.web.pictures.service import FAILURE_SECONDS, Pictures
from scheduler.web.temporary_files import Downloads
from tests.integration.web.conftest import Web, make_web, write_picture
from worker.errors import ScanError, ServiceUnavailable
from worker.settings.settings import Settings
from worker.storage.folder.storage import FolderStorage

SMALL = "/jobs/1/scans/1/after/small.jpg"
LIMITS = {"memory_bytes": 1 << 30, "file_bytes": 1 << 30, "seconds": 30}
LIMITED = (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_AS)


def test_a_thumbnail_is_made_once_and_told_apart_by_its_etag(web: Web) -> None:
    browser = web.browser()
    first = browser.get(SMALL)
    kept = browser.get(SMALL, headers={"if-none-match": first.headers["etag"]})

    assert Image.open(io.BytesIO(first.content)).size == (300, 200)
    assert (kept.status_code, kept.content) == (304, b"")
    (web.destination / "box/0.jpg").unlink()
    assert browser.get(SMALL).content == first.content


def test_a_large_picture_is_looked_at_in_tiles(web: Web) -> None:
    write_picture(web.source / "box/1.jpg", 1, bands=1, width=1500, height=700)
    browser = web.browser()
    about = browser.get("/jobs/1/scans/2/before/tiles.json").json()
    tile = browser.get("/jobs/1/scans/2/before/tiles/0/2/1.jpg")

    assert about["levels"] == [[1500, 700], [750, 350], [375, 175]]
    assert Image.open(io.BytesIO(tile.content)).size == (1500 - 2 * 512, 700 - 512)
    assert browser.get("/jobs/1/scans/2/before/tiles/0/9/9.jpg").status_code == 404


def test_the_process_that_makes_pictures_is_started_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOCHROM_NOTICES_SECRET", "a secret of ours")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "which reads S3")
    child = _Child(LIMITS, tmp_path / "scratch")
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


def test_a_process_that_dies_costs_one_picture(tmp_path: Path) -> None:
    pool = PicturePool(1, memory_bytes=1 << 30, seconds=30, scratch=tmp_path, file_bytes=1 << 30)

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


def test_a_picture_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    pool = PicturePool(1, memory_bytes=1 << 30, seconds=0.001, scratch=tmp_path, file_bytes=1 << 30)

    with pytest.raises(ScanError, match="took longer"):
        asyncio.run(pool.run({"task": "levels", "path": "/none"}))
    pool.stop()


def test_a_process_that_cannot_be_started_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = _Child(LIMITS, tmp_path / "scratch")
    monkeypatch.setattr("sys.executable", str(tmp_path / "no python"))

    with pytest.raises(ServiceUnavailable, match="no picture can be made now"):
        child.ask({"task": "levels", "path": "/none"}, 30)

    monkeypatch.undo()
    with pytest.raises(ScanError, match="can't be read"):
        child.ask({"task": "levels", "path": "/none"}, 30)
    child.stop()


def test_a_slow_store_is_told_from_a_slow_file() -> None:
    ours, theirs = Pipe()

    with pytest.raises(ScanError, match="to fetch") as store:
        pool_module._received(ours, 0.01)
    theirs.send_bytes(b'{"fetched": true}')
    with pytest.raises(ScanError, match="to make") as file:
        pool_module._received(ours, 0.01)

    assert (store.value.code, file.value.code) == ("storage_unavailable", "too_large")


def test_a_process_says_when_it_has_the_file(web: Web, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    notes: list[str] = []
    maker = child_module._Maker(tmp_path / "own", lambda: notes.append("fetched"))
    where = {"uri": str(web.source), "key": "box/0.jpg", "etag": None, "is_source": True, "target": f"{tmp_path}/a.jpg"}
    common = web.context.pictures._common

    assert maker.answer({"task": "thumbnail", "size": "small", **where, **common}) == {}
    assert notes == ["fetched"]
    assert maker.answer({"task": "thumbnail", "size": "small", **where, **common, "key": "none.jpg"})["error"]
    assert notes == ["fetched"]


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


def test_a_killed_process_leaves_no_scan_behind(tmp_path: Path) -> None:
    pool = PicturePool(1, memory_bytes=1 << 30, seconds=30, scratch=tmp_path, file_bytes=1 << 30)

    async def kill_while_it_works() -> None:
        with pytest.raises(ScanError, match="no tile|can't be read"):
            await pool.run({"task": "tile", "path": "/none", "level": 0, "column": 0, "row": 0})
        [own] = tmp_path.iterdir()
        (own / "picture-1").mkdir()
        (own / "picture-1" / "scan.turn.v").write_bytes(b"half of a scan")
        pool._children[0]._process.kill()  # type: ignore[union-attr]
        await asyncio.to_thread(pool._children[0]._process.wait)  # type: ignore[union-attr]
        with pytest.raises(ScanError):
            await pool.run({"task": "tile", "path": "/none", "level": 0, "column": 0, "row": 0})
        assert list(own.iterdir()) == []

    asyncio.run(kill_while_it_works())
    pool.stop()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_web_process_left_in_its_kept_folder_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "scratch-left" / "process-0"
    left.mkdir(parents=True)
    (left.parent / "in-use").touch()
    (left / "scan").write_bytes(b"a whole scan")
    (tmp_path / "scratch" / "picture-1").mkdir(parents=True)  # as an earlier version left it

    Pictures(Settings(), tmp_path).stop()

    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_process_has_limits_for_files_processor_time_and_cores(tmp_path: Path) -> None:
    child = _Child({**LIMITS, "file_bytes": 7 << 20}, tmp_path / "scratch")
    try:
        child.ask({"task": "none"}, 30)
    except ScanError:
        assert child._process is not None
        limits = {number: resource.prlimit(child._process.pid, number)[0] for number in LIMITED}
    finally:
        child.stop()

    assert limits[resource.RLIMIT_FSIZE] == 7 << 20
    assert limits[resource.RLIMIT_CORE] == 0
    assert 30 <= limits[resource.RLIMIT_CPU] <= 60
    assert limits[resource.RLIMIT_AS] > 1 << 30


def test_a_picture_that_failed_is_not_tried_again_for_some_minutes_but_another_version_is(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, asked = web.context.pictures, []
    run = pictures._pool.run

    async def counting(request: dict[str, object]) -> object:
        asked.append(request["key"])
        return await run(request)

    monkeypatch.setattr(pictures._pool, "run", counting)
    (web.source / "box/3.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than this")

    def look(version: str) -> None:
        with pytest.raises(ScanError):
            asyncio.run(pictures.thumbnail(PictureFile(str(web.source), "box/3.jpg", None, version), "small"))

    pictures._pool._idle = None
    look("1")
    look("1")
    assert asked == ["box/3.jpg"]
    pictures._pool._idle = None
    look("2")
    assert asked == ["box/3.jpg"] * 2
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + FAILURE_SECONDS + 1))
    pictures._pool._idle = None
    look("1")
    assert asked == ["box/3.jpg"] * 3


PASSING = ("storage_unavailable", "disk_full", "credentials", "denied", "source_missing", "source_changed", "internal")


def test_remembered_failures_are_bounded_and_only_those_of_the_file_itself() -> None:
    failures = service._Failures()
    for code in PASSING:
        failures.add(code, ScanError(code, "not now", permanent=True))
    assert len(failures._errors) == 0
    for number in range(5_000):
        failures.add(f"{number}", ScanError("unreadable", "no picture", permanent=True))

    assert failures.get("0") is None
    assert failures.get("4999") is not None
    assert len(failures._errors) == 4_096


def test_a_scan_in_a_folder_that_was_replaced_is_not_shown_as_the_one_that_was_coloured(web: Web) -> None:
    path = web.source / "box/2.jpg"
    status = path.stat()
    etag = FolderStorage(web.source).stat("box/2.jpg").etag  # type: ignore[union-attr]
    file = PictureFile(str(web.source), "box/2.jpg", etag, "1")
    write_picture(path, 99, bands=1, width=80)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))

    with pytest.raises(ScanError, match="box/2.jpg") as refused:
        asyncio.run(web.context.pictures.thumbnail(file, "small"))

    assert refused.value.code == "source_changed"


def test_downloads_are_bounded_together(web: Web, tmp_path: Path) -> None:
    storage = FolderStorage(web.destination)
    size = (web.destination / "box/1.jpg").stat().st_size
    downloads = Downloads(2 * size - 1)
    first = downloads.fetch(storage, "box/1.jpg", etag=None, max_bytes=1 << 20)

    with pytest.raises(ServiceUnavailable, match="try again"):
        downloads.fetch(storage, "box/1.jpg", etag=None, max_bytes=1 << 20)
    first.remove()
    with pytest.raises(ScanError, match="box/9"):
        downloads.fetch(storage, "box/9.jpg", etag=None, max_bytes=1 << 20)
    with pytest.raises(ScanError, match="box/1"):
        downloads.fetch(storage, "box/1.jpg", etag=None, max_bytes=size - 1)
    downloads.fetch(storage, "box/1.jpg", etag=None, max_bytes=1 << 20).remove()
    assert downloads._bytes == 0
    assert not first.path.exists()
