from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from worker.errors import CredentialsRefused, ServiceUnavailable
from worker.storage import S3Location, S3Options
from worker.storage.s3 import storage as s3_storage
from worker.storage.s3.storage import S3Storage


def test_folder_markers_are_left_out_and_etags_lose_their_quotes() -> None:
    storage = S3Storage(S3Location("bucket", "box"), S3Options())
    entries = [{"Key": f"box/{key}", "Size": 4, "ETag": '"00"'} for key in ("", "1936/", "1936/0012.tif")]
    with Stubber(storage._client) as stub:
        request = {"Bucket": "bucket", "Prefix": "box/", "OptionalObjectAttributes": ["RestoreStatus"]}
        stub.add_response("list_objects_v2", {"Contents": entries}, request)
        assert [(found.key, found.etag) for found in storage.list()] == [("1936/0012.tif", "00")]


def test_an_object_under_a_key_that_repeats_the_prefix_keeps_it() -> None:
    storage = S3Storage(S3Location("bucket", "box"), S3Options())
    with Stubber(storage._client) as stub:
        stub.add_response("list_objects_v2", {"Contents": [{"Key": "box/box/a", "Size": 4, "ETag": "0"}]})
        assert [found.key for found in storage.list()] == ["box/a"]


def expired(operation: str = "ListObjectsV2") -> ClientError:
    answer: Any = {"Error": {"Code": "ExpiredToken"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, operation)


class Client:
    """Lists the pages 1, 2, 3 ... of one key each; its credentials expire after `pages` pages."""

    class meta:  # noqa: N801 - botocore's name
        endpoint_url = "https://s3.example"

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def list_objects_v2(self, *, ContinuationToken: str = "1", **_: object) -> Any:  # noqa: N803 - botocore's name
        if self.pages == 0:
            raise expired()
        self.pages -= 1
        number = int(ContinuationToken)
        page = {"Contents": [{"Key": f"box/{number}.tif", "Size": 4, "ETag": "0"}]}
        return page if number == 4 else {**page, "NextContinuationToken": str(number + 1)}


@pytest.fixture
def listed_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., S3Storage]:
    """A storage whose first client, and each that follows it, lists so many pages."""

    def storage(*pages: int) -> S3Storage:
        clients = iter([Client(count) for count in pages])
        monkeypatch.setattr(s3_storage, "make_client", lambda options: next(clients))
        return S3Storage(S3Location("bucket", "box"), S3Options())

    return storage


def test_credentials_that_expire_in_a_listing_are_read_again_and_no_key_is_lost(
    listed_by: Callable[..., S3Storage],
) -> None:
    assert [entry.key for entry in listed_by(2, 1, 1).list()] == ["1.tif", "2.tif", "3.tif", "4.tif"]


def test_credentials_that_stay_expired_in_a_listing_may_come_back(listed_by: Callable[..., S3Storage]) -> None:
    with pytest.raises(ServiceUnavailable, match="ExpiredToken"):
        list(listed_by(2, 0).list())
    with pytest.raises(CredentialsRefused):  # before its first key, a listing says that they are wrong
        list(listed_by(0, 0).list())


def test_a_listing_that_is_continued_has_begun(listed_by: Callable[..., S3Storage]) -> None:
    with pytest.raises(ServiceUnavailable, match="ExpiredToken"):
        list(listed_by(0, 0).list(after="1.tif"))
