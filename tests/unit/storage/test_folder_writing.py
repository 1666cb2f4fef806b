import errno
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.queries.jobs.samples import SAMPLES
from db.queries.reports.reviews import REDONE
from worker.errors import ScanError, StorageUnavailable
from worker.storage.folder.storage import FolderStorage


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "destination"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").write_bytes(b"colour")
    return tmp_path / "output"


def store_code(destination: Path, output: Path, key: str) -> str:
    with pytest.raises(ScanError) as failed:
        FolderStorage(destination).store(output, key, content_type="image/png")
    return failed.value.code


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("owned", [REDONE, SAMPLES])
def test_a_folder_that_photochrom_names_itself_is_made_in_a_destination_that_is_there(
    destination: Path, output: Path, owned: str
) -> None:
    beside = FolderStorage(destination / owned / "2")
    beside.store(output, "box 1/1.png", content_type="image/png")
    assert files(destination) == [f"{owned}2/box 1/1.png"]


@pytest.mark.parametrize("missing", ["not mounted", "not mounted/photochrom-redone/2", "not mounted/a/b"])
def test_a_destination_that_is_not_there_is_not_made(destination: Path, output: Path, missing: str) -> None:
    with pytest.raises(StorageUnavailable, match="is not a folder on this machine; mount it, or create it"):
        FolderStorage(destination / missing).store(output, "1.png", content_type="image/png")
    assert not (destination / "not mounted").exists()


def test_store_makes_the_folders_that_it_needs(destination: Path, output: Path) -> None:
    storage = FolderStorage(destination)
    stored = storage.store(output, "box 3/é.png", content_type="image/png")
    assert (destination / "box 3/é.png").read_bytes() == b"colour"
    assert stored.sha256 == hashlib.sha256(b"colour").hexdigest()
    assert storage.stat("box 3/é.png") == next(storage.list())
    assert stored.etag == next(storage.list()).etag


@pytest.mark.parametrize(
    ("there", "key"),
    [("A.TIF", "a.tif"), ("BOX/a.tif", "box/a.tif")],
)
def test_a_disk_that_takes_two_names_for_one_loses_no_output(
    there: str, key: str, destination: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a disk finds one file under both names and lists only one of them; here the test makes two files instead."""
    for each in (there, key):
        FolderStorage(destination).store(output, each, content_type="image/tiff")
    assert files(destination) == sorted([there, key])

    first = (destination / there).relative_to(destination).parts[0]
    monkeypatch.setattr(Path, "samefile", lambda self, other: {self.name, Path(other).name} >= {first})
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([self / first]))
    assert store_code(destination, output, key) == "name_taken"
    FolderStorage(destination).store(output, there, content_type="image/tiff")


def test_an_output_gets_the_permissions_of_any_new_file(destination: Path, output: Path) -> None:
    FolderStorage(destination).store(output, "a", content_type="image/png")
    (destination / "other").touch()
    assert (destination / "a").stat().st_mode == (destination / "other").stat().st_mode


def test_a_failed_store_leaves_the_old_output(destination: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FolderStorage(destination).store(output, "a", content_type="image/png")
    output.write_bytes(b"another")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    assert store_code(destination, output, "a") == "disk_full"
    assert files(destination) == ["a"]
    assert (destination / "a").read_bytes() == b"colour"


def test_a_full_disk_may_pass(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_bytes(b"scan" * 100_000)
    (tmp_path / "scratch").symlink_to("/dev/full")
    with pytest.raises(ScanError, match="No space left") as failed:
        FolderStorage(tmp_path / "source").fetch("a", tmp_path / "scratch", etag=None, max_bytes=1 << 20)
    assert (failed.value.code, failed.value.permanent) == ("disk_full", False)


@pytest.mark.parametrize("key", ["../a", "/a", "b/../../a", "link/a", "link/deep/er/a", "a\0", "", ".", "b//a"])
def test_a_key_can_t_lead_out_of_the_destination(destination: Path, output: Path, key: str) -> None:
    (destination.parent / "outside").mkdir()
    (destination / "link").symlink_to(destination.parent / "outside")
    before = files(destination.parent)
    assert store_code(destination, output, key) == "unsafe_key"
    assert files(destination.parent) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.sampled_from("./\\a\0é\n"), max_size=12))
def test_no_key_whatever_leads_out_of_the_destination(destination: Path, output: Path, key: str) -> None:
    with suppress(ScanError):
        FolderStorage(destination).store(output, key, content_type="image/png")
    assert {path.name for path in destination.parent.iterdir()} <= {"destination", "output"}
    assert output.read_bytes() == b"colour"


def test_a_symlink_in_the_place_of_an_output_is_replaced_not_followed(destination: Path, output: Path) -> None:
    (destination.parent / "master").write_bytes(b"grey")
    (destination / "a").symlink_to(destination.parent / "master")
    FolderStorage(destination).store(output, "a", content_type="image/png")
    assert (destination.parent / "master").read_bytes() == b"grey"
    assert not (destination / "a").is_symlink()


def test_a_name_that_is_too_long_is_refused(destination: Path, output: Path) -> None:
    assert store_code(destination, output, "é" * 200) == "name_too_long"
    assert store_code(destination, output, "é" * 200 + "/a") == "name_too_long"
    assert files(destination) == []


def test_a_file_and_a_folder_can_t_share_a_name(destination: Path, output: Path) -> None:
    storage = FolderStorage(destination)
    storage.store(output, "a/b", content_type="image/png")
    assert store_code(destination, output, "a") == "name_taken"
    assert store_code(destination, output, "a/b/c") == "name_taken"
    assert files(destination) == ["a/b"]


def test_old_files_of_killed_processes_are_removed(destination: Path, output: Path) -> None:
    for name, age in ((".photochrom-old.part", 4000), (".photochrom-new.part", 10), (".keep", 4000)):
        (destination / name).touch()
        os.utime(destination / name, (time.time() - age,) * 2)
    FolderStorage(destination).store(output, "a", content_type="image/png")
    assert files(destination) == [".keep", ".photochrom-new.part", "a"]


def test_one_storage_serves_several_threads(destination: Path, output: Path) -> None:
    storage = FolderStorage(destination)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.store(output, f"{n % 5}/{n % 25}", content_type="image/png"), range(100)))
    assert len(files(destination)) == 25


def test_an_output_that_may_not_count_any_more_leaves_what_was_there(destination: Path, output: Path) -> None:
    storage = FolderStorage(destination)
    storage.store(output, "a", content_type="image/png")
    output.write_bytes(b"another")

    def refuse() -> None:
        raise ScanError("lease_ended", "another may have it", permanent=False)

    with pytest.raises(ScanError, match="another may have it"):
        storage.store(output, "a", content_type="image/png", before_commit=refuse)

    assert (destination / "a").read_bytes() == b"colour"
    assert files(destination) == ["a"]


def test_the_lease_is_looked_at_last_before_an_output_takes_its_place(
    destination: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking the names can take minutes on a NAS, and no output may be stored after the lease has ended."""
    storage, order = FolderStorage(destination), list[str]()
    monkeypatch.setattr(storage, "_expect_no_other_name", lambda *_: order.append("names"))

    storage.store(output, "a", content_type="image/png", before_commit=lambda: order.append("lease"))

    assert order == ["names", "lease"]
