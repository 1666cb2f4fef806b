"""S3Storage when calls fail."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flaky_s3 import PASSING, Fault, FlakyS3
from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable
from worker.storage.s3 import upload
from worker.storage.s3.storage import S3Storage

Behind = Callable[..., S3Storage]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten botocore's pause before a second try, which is random and up to a second."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fetch_that_fails_once_is_tried_again(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, tmp_path: Path, fault: Fault
) -> None:
    stored = storage.store(scan, "a", content_type="image/tiff")
    flaky.fail_next(fault)
    assert behind(attempts=2).fetch("a", tmp_path / "to", etag=stored.etag, max_bytes=1 << 20) == stored
    assert flaky.counts[fault] == 1


@pytest.mark.parametrize("fault", PASSING)
def test_a_fetch_that_keeps_failing_may_pass_and_leaves_no_file(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, tmp_path: Path, fault: Fault
) -> None:
    storage.store(scan, "a", content_type="image/tiff")
    flaky.fail_next(fault, times=2)
    with pytest.raises(StorageUnavailable):
        behind(attempts=2).fetch("a", tmp_path / "to", etag=None, max_bytes=1 << 20)
    assert flaky.counts[fault] == 2
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("fault", ["internal_error", "slow_down", "hang", "reset", "lost_answer"])
def test_a_store_that_fails_once_is_tried_again(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, fault: Fault
) -> None:
    flaky.fail_next(fault, method="PUT")
    stored = behind(attempts=2).store(scan, "a", content_type="image/tiff")
    assert flaky.counts[fault] == 1
    found = storage.stat("a")
    assert found is not None
    assert found.etag == stored.etag


def test_a_store_that_keeps_failing_may_pass_and_leaves_the_old_object(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path
) -> None:
    before = storage.store(scan, "a", content_type="image/tiff")
    scan.write_bytes(b"another")
    flaky.fail_next("internal_error", times=2)
    with pytest.raises(StorageUnavailable):
        behind(attempts=2).store(scan, "a", content_type="image/tiff")
    found = storage.stat("a")
    assert found is not None
    assert found.etag == before.etag


def test_a_store_whose_etag_tells_of_other_bytes_may_pass(behind: Behind, flaky: FlakyS3, scan: Path) -> None:
    flaky.fail_next("other_etag")
    with pytest.raises(StorageUnavailable, match="stored damaged"):
        behind().store(scan, "a", content_type="image/tiff")


@pytest.mark.parametrize("attempts", [1, 2])
def test_an_upload_in_parts_is_whole_or_not_at_all(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 100_000)
    monkeypatch.setattr(upload, "PART_BYTES", 60_000)
    flaky.fail_next("internal_error", method="PUT")
    if attempts == 1:
        with pytest.raises(StorageUnavailable):
            behind(attempts=1).store(scan, "a", content_type="image/tiff")
        assert storage.stat("a") is None
    else:
        behind(attempts=2).store(scan, "a", content_type="image/tiff")
        found = storage.stat("a")
        assert found is not None
        assert found.bytes == 200_000


@pytest.mark.parametrize(
    ("fault", "code"), [("precondition_failed", "source_changed"), ("denied", "denied"), ("archived", "archived")]
)
def test_a_permanent_error_is_not_tried_again(
    behind: Behind, flaky: FlakyS3, tmp_path: Path, fault: Fault, code: str
) -> None:
    flaky.fail_next(fault)
    with pytest.raises(ScanError) as failed:
        behind(attempts=3).fetch("a", tmp_path / "to", etag="0", max_bytes=1)
    assert (failed.value.code, failed.value.permanent) == (code, True)
    assert flaky.counts["calls"] == 1


@pytest.mark.parametrize("fault", ["internal_error", "slow_down", "reset", "cut_body"])
def test_a_listing_that_fails_once_is_complete(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, fault: Fault
) -> None:
    storage.store(scan, "a", content_type="image/tiff")
    flaky.fail_next(fault)
    assert [found.key for found in behind(attempts=2).list()] == ["a"]


@pytest.mark.parametrize("fault", ["internal_error", "slow_down", "reset", "cut_body", "wrong_length"])
def test_a_listing_that_keeps_failing_is_unavailable(behind: Behind, flaky: FlakyS3, fault: Fault) -> None:
    flaky.fail_next(fault, times=2)
    with pytest.raises(ServiceUnavailable, match="http://127"):
        list(behind(attempts=2).list())


def test_nothing_is_lost_when_a_fifth_of_all_calls_fails(
    storage: S3Storage, behind: Behind, flaky: FlakyS3, scan: Path, tmp_path: Path
) -> None:
    flaky.share, flaky.faults = 0.2, tuple(fault for fault in PASSING if fault != "hang")
    unlucky = behind(attempts=8)

    def there_and_back(number: int) -> bool:
        stored = unlucky.store(scan, f"{number}", content_type="image/tiff")
        return unlucky.fetch(f"{number}", tmp_path / f"{number}", etag=stored.etag, max_bytes=1 << 20) == stored

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(50)))
    assert len(list(storage.list())) == 50
    assert len(flaky.counts) > 5
