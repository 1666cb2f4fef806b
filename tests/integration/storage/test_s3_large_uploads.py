"""A submission tries an upload in parts, because a KMS key may allow small files and refuse parts hours later."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from sqlalchemy import Engine, func, select

from db.models.jobs import Job
from db.session import make_engine, read_scope
from scheduler.standalone.services import S3Server
from scheduler.submission.submitter import Submission, Submitter
from tests.flaky_s3 import FlakyS3
from worker.errors import ServiceUnavailable, UsageError
from worker.storage import S3Location, S3Options
from worker.storage.s3.client import make_client
from worker.storage.s3.storage import S3Storage
from worker.storage.s3.upload import try_part

KMS = S3Options(requester_pays=True, encryption="aws:kms", kms_key_id="key")


@pytest.fixture
def engine(migrated_sqlite_url: str) -> Engine:
    return make_engine(migrated_sqlite_url)


@pytest.fixture
def submitter(engine: Engine, flaky: FlakyS3, s3_options: S3Options) -> Submitter:
    options = replace(s3_options, endpoint_url=flaky.endpoint_url)
    return Submitter(engine, s3=options, chunk_scans=2, checkpoints=list)


@pytest.fixture
def request_between(bucket: str, s3_server: S3Server) -> Submission:
    s3_server.client().put_object(Bucket=bucket, Key="in/1.tif", Body=b"not looked at")
    return Submission(f"s3://{bucket}/in", f"s3://{bucket}/out")


def keys(server: S3Server, bucket: str) -> list[str]:
    return [entry["Key"] for entry in server.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_submission_leaves_nothing_of_its_trial(
    submitter: Submitter, request_between: Submission, s3_server: S3Server, bucket: str
) -> None:
    assert submitter.submit(request_between).scans == 1

    assert keys(s3_server, bucket) == ["in/1.tif"]
    assert not s3_server.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("way", ["submit", "submit_later"])
def test_parts_that_are_refused_stop_a_submission_before_it_makes_a_job(
    engine: Engine, submitter: Submitter, request_between: Submission, flaky: FlakyS3, s3_server: S3Server, way: str
) -> None:
    flaky.fail_next("denied", method="PUT")

    with pytest.raises(UsageError, match="can't take large outputs, which are uploaded in parts: .*grant s3:PutObject"):
        getattr(submitter, way)(request_between)

    with read_scope(engine) as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
    bucket = request_between.source.split("/")[2]
    assert not s3_server.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_person_without_the_right_to_write_may_submit(
    submitter: Submitter, request_between: Submission, flaky: FlakyS3
) -> None:
    flaky.fail_next("denied", method="POST")

    assert submitter.submit(request_between).scans == 1
    assert flaky.counts["denied"] == 1


def test_a_failure_that_may_pass_is_reported_as_such(behind: Callable[..., S3Storage], flaky: FlakyS3) -> None:
    flaky.fail_next("internal_error", method="PUT", times=9)

    with pytest.raises(ServiceUnavailable, match="can't take large outputs"):
        behind().check_large_uploads("trial")


@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part"])
def test_a_key_that_refuses_is_named_with_the_rights_that_are_missing(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    storage = S3Storage(S3Location("colour", "out"), KMS)
    refusal = {"service_error_code": "AccessDenied", "http_status_code": 403, "service_message": "no kms:Decrypt"}
    monkeypatch.setattr(storage, "_impatient_client", lambda: storage._client)
    with Stubber(storage._client) as stub:
        if operation == "upload_part":
            stub.add_response("create_multipart_upload", {"UploadId": "1"})
        stub.add_client_error(operation, **refusal)
        stub.add_response("abort_multipart_upload", {})
        with pytest.raises(UsageError, match="grant kms:GenerateDataKey and kms:Decrypt"):
            storage.check_large_uploads("trial")


def test_the_trial_sends_the_headers_of_real_uploads_and_is_aborted() -> None:
    client = make_client(KMS)
    place: dict[str, Any] = {"Bucket": "colour", "Key": "out/trial", "RequestPayer": "requester"}
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}
    part = {"UploadId": "1", "PartNumber": 1, "Body": ANY, "ContentMD5": ANY}
    with Stubber(client) as stub:
        stub.add_response(
            "create_multipart_upload", {"UploadId": "1"}, {**place, **encryption, "ContentType": "text/plain"}
        )
        stub.add_client_error("upload_part", "AccessDenied", expected_params={**place, **part})
        stub.add_response("abort_multipart_upload", {}, {**place, "UploadId": "1"})
        with pytest.raises(ClientError):
            try_part(client, "colour", "out/trial", KMS)
        stub.assert_no_pending_responses()
