"""A storage on the S3 server of the tests, and one behind a proxy that spoils calls."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.standalone.services import S3Server
from tests.flaky_s3 import FlakyS3
from worker.storage import S3Options, parse_location
from worker.storage.s3.storage import S3Storage


@pytest.fixture
def storage(bucket: str, s3_options: S3Options) -> S3Storage:
    """The prefix `box` of an empty bucket."""
    return S3Storage(parse_location(f"s3://{bucket}/box"), s3_options)  # type: ignore[arg-type]


@pytest.fixture
def flaky(s3_server: S3Server) -> Iterator[FlakyS3]:
    with FlakyS3(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def behind(storage: S3Storage, flaky: FlakyS3) -> Callable[..., S3Storage]:
    """`behind(attempts=1)`: the same prefix, through the proxy."""

    def open_behind(**options: object) -> S3Storage:
        impatient = replace(storage.options, endpoint_url=flaky.endpoint_url, timeout_seconds=1.0)
        return S3Storage(storage.location, replace(impatient, **options))  # type: ignore[arg-type]

    return open_behind


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file of 200 kB."""
    (tmp_path / "scan").write_bytes(bytes(range(250)) * 800)
    return tmp_path / "scan"
