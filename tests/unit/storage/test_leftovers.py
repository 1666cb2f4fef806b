"""Leftovers of other programs are no scans, in folders and on S3; files that can't be listed are named."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.stub import Stubber

from worker.storage import Omission, S3Location, S3Options
from worker.storage.folder.storage import FolderStorage
from worker.storage.leftovers import is_leftover
from worker.storage.s3.storage import S3Storage

LEFTOVERS = (
    "@eaDir/0001.tif/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/0001.tif",
    "$RECYCLE.BIN/0001.tif",
    "__MACOSX/0001.tif",
    "box/._0001.tif",
    "box/.thumbnails/0001.png",
    ".Trash-1000/files/0001.tif",
    "@Recently-Snapshot/GMT+01_2024-01-01/0001.tif",
    "~snapshot/nightly.0/0001.tif",
    "RECYCLER/S-1-5-21/Dc1.tif",
    "Recycled/Dc1.tif",
    "Network Trash Folder/Trash Can #2/0001.tif",
    "Temporary Items/0001.tif",
    "FOUND.000/FILE0000.tif",
    "@GMT-2024.01.01-00.00.00/0001.tif",
)
CLASSES = {"1.tif": "GLACIER", "2.tif": "DEEP_ARCHIVE", "3.tif": "GLACIER_IR", "4.tif": "STANDARD"}


@pytest.mark.parametrize("key", LEFTOVERS)
def test_leftovers_of_other_programs_are_known(key: str) -> None:
    assert is_leftover(key)


@pytest.mark.parametrize(
    "key",
    [
        "0001.tif",
        "box @eaDir/0001.tif",
        "box#recycle/1.tif",
        "a.b/c.tif",
        "lost and found.001/1.tif",
        "Recycled paper/1.tif",
    ],
)
def test_scans_with_odd_names_are_no_leftovers(key: str) -> None:
    assert not is_leftover(key)


def test_a_folder_lists_scans_counts_leftovers_and_names_what_it_cannot_list(tmp_path: Path) -> None:
    for key in (*LEFTOVERS, "box/0001.tif", "last.tif"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tif")).write_bytes(b"x")
    omissions: list[Omission] = []

    keys = [entry.key for entry in FolderStorage(tmp_path).list(left_out=omissions.append)]

    assert keys == ["box/0001.tif", "last.tif"]
    assert len([omission for omission in omissions if not omission.reason]) == len(LEFTOVERS)
    assert [omission.reason for omission in omissions if omission.reason] == ["its name is not UTF-8; rename it"]


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is simulated, because permissions do not stop root, and in a container the tests may run as root."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.tif").write_bytes(b"x")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    omissions: list[Omission] = []

    keys = [entry.key for entry in FolderStorage(tmp_path).list(left_out=omissions.append)]

    assert keys == ["open.tif"]
    assert omissions == [Omission("closed/", "it can't be read: Permission denied; grant access to it")]


def test_s3_leaves_out_leftovers_and_says_what_is_in_cold_storage() -> None:
    storage = S3Storage(S3Location("bucket", "box"), S3Options())
    classes = {**CLASSES, "@eaDir/4.tif": "STANDARD"}
    entries: list[dict[str, object]] = [
        {"Key": f"box/{key}", "Size": 4, "ETag": '"00"', "StorageClass": name} for key, name in classes.items()
    ]
    restored = {"RestoreStatus": {"IsRestoreInProgress": False, "RestoreExpiryDate": datetime(2100, 1, 1, tzinfo=UTC)}}
    awaited = {"RestoreStatus": {"IsRestoreInProgress": True}}
    entries += [{**entries[0], "Key": "box/5.tif", **restored}, {**entries[0], "Key": "box/6.tif", **awaited}]
    expected = {"Bucket": "bucket", "Prefix": "box/", "OptionalObjectAttributes": ["RestoreStatus"]}
    omissions: list[Omission] = []
    with Stubber(storage._client) as stub:
        stub.add_response("list_objects_v2", {"Contents": entries}, expected)
        listed = {entry.key: entry.is_archived for entry in storage.list(left_out=omissions.append)}

    assert listed == {"1.tif": True, "2.tif": True, "3.tif": False, "4.tif": False, "5.tif": False, "6.tif": True}
    assert omissions == [Omission("@eaDir/4.tif")]


@pytest.mark.parametrize(
    ("head", "is_archived"),
    [
        ({}, False),
        ({"StorageClass": "GLACIER"}, True),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, True),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="Fri, 01 Jan 2100"'}, False),
        ({"StorageClass": "GLACIER_IR"}, False),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING"}, False),
    ],
)
def test_a_head_request_says_whether_an_object_must_be_restored(head: dict[str, str], is_archived: bool) -> None:
    storage = S3Storage(S3Location("bucket", "box"), S3Options())
    with Stubber(storage._client) as stub:
        stub.add_response("head_object", {"ContentLength": 4, "ETag": '"00"', **head})
        stored = storage.stat("1.tif")

    assert stored is not None
    assert stored.is_archived == is_archived
