from botocore.stub import Stubber

from worker.storage import S3Location, S3Options
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
