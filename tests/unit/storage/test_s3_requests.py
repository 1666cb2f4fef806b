"""Further arguments of requests to S3, such as encryption, and credentials that expire."""

from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber

from scheduler.submission.manifest_file import manifest_version
from scheduler.submission.submitter import Submission, open_both
from worker.errors import CredentialsRefused, ScanError, UsageError
from worker.storage import S3Location, S3Options, Storage, StoredObject
from worker.storage.s3 import storage as s3_storage
from worker.storage.s3.errors import service_fault
from worker.storage.s3.storage import S3Storage

LOCATION = S3Location("bucket", "box")
HEAD = {"ContentLength": 4, "ETag": '"00"'}


def failure(code: str, status: int, message: str = "") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "HeadObject")


class Client:
    """Answers each call of head_object with the next of `answers`; an exception is raised."""

    class meta:  # noqa: N801 - botocore's name
        endpoint_url = "https://s3.example"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def head_object(self, **_: object) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_requester_pays_and_encryption_travel_with_the_requests() -> None:
    options = S3Options(requester_pays=True, encryption="aws:kms", kms_key_id="key-1")
    storage = S3Storage(LOCATION, options)
    with Stubber(storage._client) as stub:
        stub.add_response("head_object", HEAD, {"Bucket": "bucket", "Key": "box/a", "RequestPayer": "requester"})
        assert storage.stat("a") is not None
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
    assert options.writing() == {"RequestPayer": "requester", **encryption}
    assert S3Options().writing() == {}


def is_signed(storage: Storage) -> bool:
    assert isinstance(storage, S3Storage)
    return vars(storage._client.meta.config)["_user_provided_options"]["signature_version"] is not UNSIGNED


def test_a_public_source_is_read_without_credentials_and_its_destination_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(S3Storage, "check", lambda _: None)
    request = Submission("s3://public/plates", "s3://private/colour")

    source, destination = open_both(request, S3Options(unsigned=True))

    assert (is_signed(source), is_signed(destination)) == (False, True)
    assert is_signed(open_both(request, S3Options())[0])


@pytest.mark.parametrize(
    ("manifest", "signed"), [("s3://public/lists/a.csv", False), ("s3://private/lists/a.csv", True)]
)
def test_a_manifest_beside_a_public_source_is_read_without_credentials(
    manifest: str, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages = list[Storage]()

    def stat(storage: Storage, key: str) -> StoredObject:
        storages.append(storage)
        return StoredObject(key, 4, "00")

    monkeypatch.setattr(S3Storage, "stat", stat)
    assert manifest_version(manifest, "s3://public/plates", S3Options(unsigned=True)) == "00"
    assert [is_signed(storage) for storage in storages] == [signed]


@pytest.mark.parametrize(
    "refusal",
    [
        failure("ExpiredToken", 400),
        failure("InvalidAccessKeyId", 403),
        failure("SignatureDoesNotMatch", 403),
        failure("InvalidToken", 400),
        NoCredentialsError(),
    ],
    ids=lambda error: error.response["Error"]["Code"] if isinstance(error, ClientError) else "NoCredentials",
)
def test_refused_credentials_are_read_again_once(refusal: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = S3Storage(LOCATION, S3Options())
    monkeypatch.setattr(storage, "_client", Client(refusal))
    monkeypatch.setattr(s3_storage, "make_client", lambda options: Client(HEAD))

    found = storage.stat("a")

    assert found is not None
    assert found.bytes == 4


def test_credentials_that_stay_expired_are_the_workers_trouble_and_not_the_scans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = S3Storage(LOCATION, S3Options())
    monkeypatch.setattr(storage, "_client", Client(failure("ExpiredToken", 400)))
    monkeypatch.setattr(s3_storage, "make_client", lambda options: Client(failure("ExpiredToken", 400)))

    with pytest.raises(ScanError) as error:
        storage.stat("a")

    assert (error.value.code, error.value.permanent) == ("credentials", False)


@pytest.mark.parametrize(("code", "kind"), [("ExpiredToken", CredentialsRefused), ("AccessDenied", UsageError)])
def test_a_denied_listing_is_no_refusal_of_the_credentials(code: str, kind: type[UsageError]) -> None:
    assert type(service_fault(failure(code, 403), "s3://bucket/box", "https://s3.example")) is kind


@pytest.mark.parametrize(
    ("message", "advice"),
    [("Access Denied", "PHOTOCHROM_S3_REQUESTER_PAYS=true"), ("not authorized to perform: kms:Decrypt", "kms:Decrypt")],
)
def test_the_missing_right_is_read_from_the_message_of_aws(
    message: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = S3Storage(LOCATION, S3Options())
    monkeypatch.setattr(storage, "_client", Client(failure("AccessDenied", 403, message)))

    with pytest.raises(ScanError, match=advice):
        storage.stat("a")
