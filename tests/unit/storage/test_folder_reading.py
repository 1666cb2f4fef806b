import errno
import hashlib
import os
from pathlib import Path

import pytest

from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage.folder.storage import FolderStorage


def put(path: Path, content: bytes = b"scan") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def keys(folder: Path) -> list[str]:
    return [found.key for found in FolderStorage(folder).list()]


def fetch_code(folder: Path, key: str, **wanted: object) -> str:
    asked = {"etag": None, "max_bytes": 100, **wanted}
    with pytest.raises(ScanError) as failed:
        FolderStorage(folder).fetch(key, folder.parent / "fetched", **asked)  # type: ignore[arg-type]
    assert not (folder.parent / "fetched").exists()
    return failed.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_a_listing_has_the_order_of_s3_keys(folder: Path) -> None:
    for key in ("b/2", "b/1", "b.tif", "b", "a/z/1", "c"):
        put(folder / key) if key != "b" else None
    assert keys(folder) == ["a/z/1", "b.tif", "b/1", "b/2", "c"]


def test_a_listing_goes_on_after_any_key(folder: Path) -> None:
    whole = ["a b/1", "a/z/1", "a/z/2", "a/zz", "b.tif", "b/1", "c", "d/e/f/g", "\u00e9", "\U0001f5bc"]
    for key in whole:
        put(folder / key)
    assert keys(folder) == whole
    for number, key in enumerate(whole):
        assert [found.key for found in FolderStorage(folder).list(after=key)] == whole[number + 1 :]


def test_hidden_files_and_folders_are_left_out(folder: Path) -> None:
    for key in (".DS_Store", ".trash/1", "a/.photochrom-1.part", "a/1"):
        put(folder / key)
    assert keys(folder) == ["a/1"]


def test_symlinks_are_followed_only_to_files_inside(folder: Path) -> None:
    put(folder / "a/1")
    put(folder.parent / "outside")
    (folder / "inside").symlink_to("a/1")
    (folder / "out").symlink_to(folder.parent / "outside")
    (folder / "folder").symlink_to("a")
    (folder / "broken").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    assert keys(folder) == ["a/1", "inside"]


def test_only_regular_files_are_listed(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert keys(folder) == []
    assert fetch_code(folder, "pipe") == "source_missing"


def test_a_key_may_be_as_deep_as_s3_allows(folder: Path) -> None:
    deep = "/".join(["d"] * 510)
    (folder.parent / "scan").write_bytes(b"scan")
    FolderStorage(folder).store(folder.parent / "scan", f"{deep}/scan", content_type="image/png")
    assert keys(folder) == [f"{deep}/scan"]


def test_a_folder_that_vanishes_while_it_is_listed_is_named(folder: Path) -> None:
    put(folder / "a/1")
    put(folder / "b/1")
    listing = FolderStorage(folder).list()
    next(listing)
    (folder / "b/1").unlink()
    (folder / "b").rmdir()
    with pytest.raises(ServiceUnavailable, match="source/b.* is gone since the listing began"):
        next(listing)


def take_away(folder: Path, *keys: str) -> None:
    """Put another folder, with these empty folders in it, into the place of the source, as if it was unmounted."""
    folder.rename(folder.with_name("unmounted"))
    for key in ("", *keys):
        (folder / key).mkdir()


@pytest.mark.parametrize("left", [(), ("b",)], ids=["nothing", "the same folder, empty"])
@pytest.mark.parametrize("key", ["b", "b/1"])
def test_a_source_that_vanishes_while_it_is_listed_is_not_listed_completely(
    folder: Path, key: str, left: tuple[str, ...]
) -> None:
    put(folder / "a")
    put(folder / key)
    listing = FolderStorage(folder).list()
    assert next(listing).key == "a"

    take_away(folder, *left)

    with pytest.raises(ServiceUnavailable, match="is gone since the listing began; mount it"):
        next(listing)


def test_a_folder_inside_that_vanishes_while_it_is_listed_is_not_listed_completely(folder: Path) -> None:
    put(folder / "a/1")
    put(folder / "a/2")
    listing = FolderStorage(folder).list()
    next(listing)

    take_away(folder / "a")

    with pytest.raises(ServiceUnavailable, match="source/a.* is gone since the listing began"):
        next(listing)


def test_a_listing_does_not_go_on_in_a_source_that_is_empty_now(folder: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"is empty, but had the files up to 'a/1'"):
        list(FolderStorage(folder).list(after="a/1"))


def test_a_scan_that_is_removed_while_its_folder_is_listed_is_left_out(folder: Path) -> None:
    for key in ("a", "b", "c"):
        put(folder / key)
    listing = FolderStorage(folder).list()
    next(listing)

    (folder / "b").unlink()

    assert [stored.key for stored in listing] == ["c"]


def test_fetch_copies_and_hashes(folder: Path, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    put(folder / "a b/é\n.tif", content)
    moved = FolderStorage(folder).fetch("a b/é\n.tif", tmp_path / "to", etag=None, max_bytes=len(content))
    assert (tmp_path / "to").read_bytes() == content
    assert (moved.bytes, moved.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_etag_is_the_same_in_listing_stat_and_fetch(folder: Path, tmp_path: Path) -> None:
    put(folder / "a")
    storage = FolderStorage(folder)
    (listed,) = storage.list()
    assert storage.stat("a") == listed
    assert storage.fetch("a", tmp_path / "to", etag=listed.etag, max_bytes=4).etag == listed.etag


def test_a_scan_that_changed_since_it_was_listed_is_refused(folder: Path) -> None:
    put(folder / "a")
    (listed,) = FolderStorage(folder).list()
    put(folder / "a", b"another")
    assert fetch_code(folder, "a", etag=listed.etag) == "source_changed"


@pytest.mark.parametrize("key", ["gone", "a/b", "folder"])
def test_a_scan_that_is_gone_is_source_missing(folder: Path, key: str) -> None:
    put(folder / "a")
    (folder / "folder").mkdir()
    assert fetch_code(folder, key) == "source_missing"
    assert FolderStorage(folder).stat(key) is None


def test_a_scan_that_is_too_large_is_refused(folder: Path) -> None:
    put(folder / "a", b"x" * 101)
    assert fetch_code(folder, "a") == "too_large"


@pytest.mark.parametrize(
    "key", ["../outside", "/etc/passwd", "a/../../outside", "link/outside", "out", "a\0b", "", "a//b"]
)
def test_a_key_can_t_lead_out_of_the_source(folder: Path, key: str) -> None:
    put(folder.parent / "outside")
    (folder / "link").symlink_to(folder.parent)
    (folder / "out").symlink_to(folder.parent / "outside")
    assert fetch_code(folder, key) == "unsafe_key"
    with pytest.raises(ScanError, match="key"):
        FolderStorage(folder).stat(key)


def test_a_source_that_is_no_folder_is_wrong_use(folder: Path) -> None:
    put(folder / "file")
    for missing in ("nothing", "file"):
        with pytest.raises(UsageError, match=missing):
            FolderStorage(folder / missing).check()


def test_a_source_that_is_unmounted_may_come_back(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="mounted"):
        FolderStorage(folder / "nas").fetch("a", tmp_path / "to", etag=None, max_bytes=1)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_share_that_fails_for_a_while_is_no_wrong_use(
    call: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "a/1")
    real = getattr(os, call)

    def fail_for_a(path: os.PathLike[str], **options: bool) -> object:
        if Path(path).name in ("a", "1"):
            raise OSError(number, os.strerror(number))
        return real(path, **options)

    monkeypatch.setattr(os, call, fail_for_a)
    with pytest.raises(ServiceUnavailable, match=os.strerror(number)):
        keys(folder)


def test_a_check_tells_a_failing_share_from_a_missing_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        FolderStorage(folder / "nowhere").check()

    def fail(path: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(ServiceUnavailable, match="can't be read now"):
        FolderStorage(folder).check()
