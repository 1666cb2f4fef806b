"""The messages for people if S3 can't be used."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.standalone.services import S3Server
from tests.waiting import PATIENCE_SECONDS
from worker.errors import PhotochromError, ScanError, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage import S3Options, Storage, open_storage, parse_location
from worker.storage.s3.storage import S3Storage


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def opened_with(storage: S3Storage, **options: object) -> Storage:
    return open_storage(storage.location, s3=replace(storage.options, **options))  # type: ignore[arg-type]


def test_a_missing_bucket_is_named(s3_server: S3Server, bucket: str, s3_options: S3Options) -> None:
    missing = open_storage(parse_location("s3://no-such-bucket/a"), s3=s3_options)
    with pytest.raises(UsageError, match=r"s3://no-such-bucket/a: there is no such bucket at http://127"):
        missing.check()
    with pytest.raises(UsageError, match="no such bucket"):
        next(missing.list())


def test_a_missing_bucket_fails_the_scan_s_store(bucket: str, s3_options: S3Options, scan: Path) -> None:
    missing = open_storage(parse_location("s3://no-such-bucket/a"), s3=s3_options)
    with pytest.raises(ScanError) as failed:
        missing.store(scan, "a", content_type="image/png")
    assert (failed.value.code, failed.value.permanent) == ("destination_missing", True)


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_one_clear_sentence_without_them(
    storage: S3Storage, scan: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wrong, "hunter2hunter2hunter2")
    wronged = opened_with(storage)
    with pytest.raises(UsageError, match="does not accept the credentials") as refused:
        wronged.check()
    with pytest.raises(ScanError) as failed:
        wronged.store(scan, "a", content_type="image/png")
    assert (failed.value.code, failed.value.permanent) == ("credentials", False)
    assert_no_secret(refused.value, failed.value, text=repr(wronged))


def test_no_credentials_are_one_clear_sentence(storage: S3Storage, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bare = opened_with(storage)
    with pytest.raises(UsageError, match="no AWS credentials were found"):
        bare.check()
    with pytest.raises(ScanError, match="no AWS credentials were found"):
        bare.stat("a")


def test_an_unknown_profile_is_wrong_use(storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "nobody")
    with pytest.raises(UsageError, match="nobody"):
        opened_with(storage)


def test_an_endpoint_that_is_no_url_is_wrong_use_and_shows_no_password(storage: S3Storage) -> None:
    with pytest.raises(UsageError, match="PHOTOCHROM_S3_ENDPOINT_URL") as refused:
        opened_with(storage, endpoint_url="ftp//user:hunter2@:host")
    assert_no_secret(refused.value)


def test_an_endpoint_that_nobody_listens_on_is_unavailable(storage: S3Storage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gone = opened_with(storage, endpoint_url=f"http://user:hunter2@127.0.0.1:{port}")
    with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{port}") as unavailable:
        gone.check()
    with pytest.raises(StorageUnavailable, match=f"127.0.0.1:{port}") as failed:
        gone.stat("a")
    assert_no_secret(unavailable.value, failed.value, text=repr(gone))


def test_an_endpoint_that_never_answers_is_unavailable_after_the_check_s_own_time(
    storage: S3Storage, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.storage.s3.storage.CHECK_SECONDS", 0.2)
    silent = opened_with(storage, endpoint_url=f"http://127.0.0.1:{silent_port}", timeout_seconds=PATIENCE_SECONDS)
    with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{silent_port}.* within 0.2 s"):
        silent.check()


def assert_no_secret(*errors: PhotochromError, text: str = "") -> None:
    for shown in (text, *(error.message for error in errors), *(repr(error) for error in errors)):
        assert "hunter2" not in shown
