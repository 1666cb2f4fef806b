"""Uploads whose lease ends while they run: the old object stays."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flaky_s3 import FlakyS3
from worker.errors import ScanError
from worker.storage.s3 import upload
from worker.storage.s3.storage import S3Storage


class Lease:
    """A lease that is held for some seconds after it is first checked."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends = seconds, float("inf")

    def expect_to_hold(self) -> None:
        self._ends = min(self._ends, time.monotonic() + self._seconds)
        if time.monotonic() >= self._ends:
            raise ScanError("lease_ended", "another may have it", permanent=False)


class LeaseLostOnTheWay(Lease):
    """A lease that is held at the first check, and lost at the next one."""

    def __init__(self) -> None:
        super().__init__(float("inf"))

    def expect_to_hold(self) -> None:
        super().expect_to_hold()
        self._ends = 0


def store_too_late(storage: S3Storage, path: Path, lease: Lease) -> None:
    path.write_bytes(b"another" * 40_000)
    with pytest.raises(ScanError) as ended:
        storage.store(path, "a", content_type="image/tiff", before_commit=lease.expect_to_hold)
    assert ended.value.code == "lease_ended"


@pytest.fixture
def before(storage: S3Storage, scan: Path) -> str:
    """The ETag of the object that another worker has stored before."""
    return storage.store(scan, "a", content_type="image/tiff").etag


def etag(storage: S3Storage) -> str:
    found = storage.stat("a")
    assert found is not None
    return found.etag


def test_a_second_try_after_the_lease_is_not_sent(
    storage: S3Storage, behind: Callable[..., S3Storage], flaky: FlakyS3, scan: Path, before: str
) -> None:
    """The first call gets no answer until the lease has ended."""
    flaky.fail_next("hang", method="PUT")

    store_too_late(behind(attempts=3), scan, Lease(0.5))

    assert etag(storage) == before
    assert flaky.counts["hang"] == 1


def test_parts_that_are_all_there_after_the_lease_do_not_become_an_object(
    storage: S3Storage, scan: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 100_000)
    monkeypatch.setattr(upload, "PART_BYTES", 60_000)

    store_too_late(storage, scan, LeaseLostOnTheWay())

    assert etag(storage) == before


def test_without_the_lease_another_workers_upload_goes_on(
    storage: S3Storage, scan: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 100_000)
    client, bucket = storage._client, storage.location.bucket
    client.create_multipart_upload(Bucket=bucket, Key="box/a")

    store_too_late(storage, scan, Lease(0))

    left = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [entry["Key"] for entry in left] == ["box/a"]


def test_parts_that_a_killed_upload_left_are_aborted_by_the_next_of_the_same_output(
    storage: S3Storage, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 100_000)
    client, bucket = storage._client, storage.location.bucket
    for key in ("box/a", "box/ab"):
        client.create_multipart_upload(Bucket=bucket, Key=key)

    storage.store(scan, "a", content_type="image/tiff")

    left = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [entry["Key"] for entry in left] == ["box/ab"]
