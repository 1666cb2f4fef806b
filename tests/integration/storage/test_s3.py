"""S3Storage against a real S3 server."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler.standalone.services import S3Server
from worker.errors import ScanError
from worker.storage import S3Options, open_storage, parse_location
from worker.storage.s3 import upload
from worker.storage.s3.storage import S3Storage

ODD_KEYS = ["a b/é 日本.tif", "<script>", "=cmd()", "new\nline", "\u202ertl", "a%20b+c", "é" * 500]


def test_a_stored_object_is_listed_found_and_fetched(storage: S3Storage, scan: Path, tmp_path: Path) -> None:
    stored = storage.store(scan, "1936/0012.tif", content_type="image/tiff")
    (listed,) = storage.list()
    fetched = storage.fetch(listed.key, tmp_path / "to", etag=listed.etag, max_bytes=listed.bytes)
    assert listed == storage.stat("1936/0012.tif")
    assert fetched == stored
    assert fetched.sha256 == hashlib.sha256((tmp_path / "to").read_bytes()).hexdigest()
    assert (tmp_path / "to").read_bytes() == scan.read_bytes()


def test_the_content_type_is_kept(storage: S3Storage, s3_server: S3Server, scan: Path) -> None:
    storage.store(scan, "a", content_type="image/tiff")
    found = s3_server.client().head_object(Bucket=storage.location.bucket, Key="box/a")
    assert found["ContentType"] == "image/tiff"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_travel_unchanged(storage: S3Storage, tmp_path: Path, key: str) -> None:
    if len(key) > 100:
        key = "/".join(key[at : at + 100] for at in range(0, len(key), 100))  # close to 1,024 bytes with the prefix
    (tmp_path / "from").write_bytes(b"scan")
    storage.store(tmp_path / "from", key, content_type="image/png")
    assert [found.key for found in storage.list()] == [key]
    storage.fetch(key, tmp_path / "to", etag=None, max_bytes=4)


def test_a_prefix_is_a_folder(storage: S3Storage, s3_server: S3Server) -> None:
    for key in ("box3/a", "box/b", "box", "other"):
        if key != "box":  # on this server a key can't be an object and a folder
            s3_server.client().put_object(Bucket=storage.location.bucket, Key=key, Body=b"x")
    assert [found.key for found in storage.list()] == ["b"]


def test_a_whole_bucket_is_a_location(storage: S3Storage, scan: Path) -> None:
    storage.store(scan, "a", content_type="image/png")
    whole = open_storage(parse_location(f"s3://{storage.location.bucket}"), s3=storage.options)
    assert [found.key for found in whole.list()] == ["box/a"]


def test_a_listing_goes_on_over_its_pages(storage: S3Storage, s3_server: S3Server) -> None:
    expected = [f"{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        keys = [f"box/{key}" for key in expected]
        list(pool.map(lambda key: s3_server.client().put_object(Bucket=storage.location.bucket, Key=key), keys))
    assert [found.key for found in storage.list()] == expected
    assert [found.key for found in storage.list(after="0001")] == expected[2:]


def test_an_empty_prefix_lists_nothing(storage: S3Storage) -> None:
    storage.check()
    assert list(storage.list()) == []


def test_a_large_file_goes_up_in_parts(
    storage: S3Storage, s3_server: S3Server, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 100_000)
    monkeypatch.setattr(upload, "PART_BYTES", 60_000)
    stored = storage.store(scan, "a", content_type="image/tiff")
    fetched = storage.fetch("a", tmp_path / "to", etag=None, max_bytes=1 << 20)
    assert (fetched.bytes, fetched.sha256) == (stored.bytes, stored.sha256)
    assert stored.etag.endswith("-4")


def test_a_scan_that_changed_since_it_was_listed_is_refused(storage: S3Storage, scan: Path, tmp_path: Path) -> None:
    etag = storage.store(scan, "a", content_type="image/tiff").etag
    scan.write_bytes(b"another")
    storage.store(scan, "a", content_type="image/tiff")
    with pytest.raises(ScanError) as failed:
        storage.fetch("a", tmp_path / "to", etag=etag, max_bytes=1 << 20)
    assert (failed.value.code, failed.value.permanent) == ("source_changed", True)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("key", "max_bytes", "code"),
    [("gone", 1 << 20, "source_missing"), ("a", 199_999, "too_large"), ("b/../a", 1 << 20, "unsafe_key")],
)
def test_a_scan_that_can_t_be_fetched_says_why(
    storage: S3Storage, scan: Path, tmp_path: Path, key: str, max_bytes: int, code: str
) -> None:
    storage.store(scan, "a", content_type="image/tiff")
    with pytest.raises(ScanError) as failed:
        storage.fetch(key, tmp_path / "to", etag=None, max_bytes=max_bytes)
    assert (failed.value.code, failed.value.permanent) == (code, True)


def test_a_missing_object_has_no_stat(storage: S3Storage) -> None:
    assert storage.stat("gone") is None


def test_one_storage_serves_several_threads(storage: S3Storage, scan: Path, tmp_path: Path) -> None:
    def there_and_back(number: int) -> str:
        storage.store(scan, f"{number}", content_type="image/tiff")
        return storage.fetch(f"{number}", tmp_path / f"{number}", etag=None, max_bytes=1 << 20).sha256

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(there_and_back, range(40))) == {hashlib.sha256(scan.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "in_order"),
    [("plates", None, True), ("plates--use1-az4--x-s3", None, False), ("plates", "http://127.0.0.1:9", False)],
)
def test_a_listing_continues_after_a_key_where_its_order_is_guaranteed(
    bucket: str, endpoint_url: str | None, in_order: bool, storage: S3Storage
) -> None:
    found = open_storage(parse_location(f"s3://{bucket}/in"), s3=S3Options(endpoint_url=endpoint_url))
    assert found.lists_in_order == in_order
