"""What the doctor finds at a real database and a real S3 server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from sqlalchemy import make_url, text

from db.clock import database_now
from db.migrations import current_revision, upgrade
from db.models.pool import Worker
from db.queries.pool import workers
from db.session import make_engine, session_scope
from scheduler.doctor import s3_stores, services, stores
from scheduler.doctor.finding import Finding, State, guarded
from scheduler.standalone.services import S3Server
from tests.conftest import service_folder
from tests.flaky_s3 import FlakyS3
from tests.pgbouncer import PGBOUNCER, PgBouncer
from tests.services import PostgreSQLServer
from worker.settings.settings import Settings
from worker.storage import S3Location, S3Options
from worker.storage.s3.client import make_client


def connection_findings(url: str, *, children: int) -> list[Finding]:
    settings = Settings(database_url=url, children=children)
    return [finding for finding in services.database(settings) if "connections" in finding.sentence]


def test_the_doctor_compares_connections_needed_and_allowed(postgresql_url: str) -> None:
    """Of 197: two schedulers 8, the pages 15, a worker 1 and one or two for each child."""
    upgrade(make_engine(postgresql_url))

    [few] = connection_findings(postgresql_url, children=4)
    [some] = connection_findings(postgresql_url, children=100)
    [many] = connection_findings(postgresql_url, children=1024)

    assert (few.state, "1 workers, 2 schedulers and the pages need 28 to 32 connections" in few.sentence) == (
        State.FINE,
        True,
    )
    assert (some.state, many.state) == (State.NOTE, State.WRONG)
    assert "PgBouncer" in many.remedy


def test_behind_a_pooler_the_doctor_does_not_compare_clients_with_the_servers_limit(
    postgresql_url: str, postgresql_server: PostgreSQLServer
) -> None:
    PGBOUNCER.require()
    upgrade(make_engine(postgresql_url))
    with service_folder() as folder, PgBouncer(folder, postgresql_server) as pooler:
        [finding] = connection_findings(pooler.url(make_url(postgresql_url).database or ""), children=1024)

    assert (finding.state, finding.remedy) == (State.FINE, "")
    assert "max_client_conn of PgBouncer) must be 2072 or more" in finding.sentence


def test_running_workers_of_an_earlier_version_are_named(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    upgrade(engine)
    with session_scope(engine) as session:
        now = database_now(session)
        revisions = {"new": current_revision(engine), "old": "0020-before", "older": None}
        for name, revision in revisions.items():
            worker = Worker(name=name, children=1, revision=revision, started_at=now, heartbeat_at=now)
            workers.register(session, worker)

    findings = [finding for finding in services.database(Settings(database_url=sqlite_url)) if "earl" in str(finding)]

    assert [finding.state for finding in findings] == [State.NOTE]
    assert "2 of 3 are of an earlier version: old, older" in findings[0].sentence


def test_the_limit_of_the_database_counts_too(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    with session_scope(engine) as session:
        session.execute(text(f'ALTER DATABASE "{engine.url.database}" CONNECTION LIMIT 9'))

    [finding] = connection_findings(postgresql_url, children=4)

    assert (finding.state, "9 allowed" in finding.sentence) == (State.WRONG, True)


def test_an_upload_in_parts_is_tried_and_removed(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    options = S3Options(endpoint_url=s3_server.endpoint_url)

    findings = list(s3_stores.in_parts(S3Location(bucket, "out"), options))

    assert [(finding.state, "takes uploads in parts" in finding.sentence) for finding in findings] == [
        (State.FINE, True)
    ]
    assert "Contents" not in s3_server.client().list_objects_v2(Bucket=bucket)


def test_parts_that_a_key_refuses_are_told_with_the_right_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        aborted = False

        def list_multipart_uploads(self, **_: Any) -> dict[str, str]:
            return {}

        def create_multipart_upload(self, **_: Any) -> dict[str, str]:
            return {"UploadId": "1"}

        def upload_part(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "kms:Decrypt"}}, "UploadPart")

        def abort_multipart_upload(self, **_: Any) -> None:
            self.aborted = True

    client = Refusing()
    monkeypatch.setattr(s3_stores, "make_client", lambda _: client)

    [finding] = s3_stores.in_parts(S3Location("colour", "out"), S3Options())

    assert (finding.state, client.aborted) == (State.WRONG, True)
    assert "kms:Decrypt" in finding.remedy


def test_the_try_in_parts_sends_the_headers_of_real_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    options = S3Options(requester_pays=True, encryption="aws:kms", kms_key_id="key")
    client = make_client(options)
    monkeypatch.setattr(s3_stores, "make_client", lambda _: client)
    place = {"Bucket": "colour", "Key": f"out/{s3_stores.PARTS_KEY}", "RequestPayer": "requester"}
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key", "ContentType": "text/plain"}
    upload = {**place, "UploadId": "1"}
    with Stubber(client) as stub:
        stub.add_response("list_multipart_uploads", {})
        stub.add_response("create_multipart_upload", {"UploadId": "1"}, {**place, **encryption})
        stub.add_response("upload_part", {"ETag": "e"}, {**upload, "PartNumber": 1, "Body": ANY, "ContentMD5": ANY})
        stub.add_response("complete_multipart_upload", {"ETag": "e"}, {**upload, "MultipartUpload": ANY})
        stub.add_response("delete_object", {}, place)

        [finding] = s3_stores.in_parts(S3Location("colour", "out"), options)

        stub.assert_no_pending_responses()
    assert finding.state == State.FINE


@pytest.mark.parametrize(
    ("cold", "state", "sentence"),
    [
        (("in/1.tif",), State.FINE, "can be listed, and 2.tif read"),
        (("in/1.tif", "in/2.tif"), State.NOTE, "of its first 2 files all are in cold storage"),
    ],
)
def test_a_source_partly_in_cold_storage_is_read_where_it_can_be(
    s3_server: S3Server, bucket: str, tmp_path: Path, cold: tuple[str, ...], state: State, sentence: str
) -> None:
    for key in ("in/1.tif", "in/2.tif"):
        s3_server.client().put_object(Bucket=bucket, Key=key, Body=b"a scan")
    with FlakyS3(s3_server.endpoint_url) as proxy:
        proxy.storage_classes = dict.fromkeys(cold, "GLACIER")
        settings = Settings(s3_endpoint_url=proxy.endpoint_url, scratch_folder=tmp_path)

        finding = next(stores.source(settings, f"s3://{bucket}/in"))

    assert (finding.state, sentence in finding.sentence) == (state, True)


def test_a_file_that_can_not_be_read_is_a_finding() -> None:
    def check() -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/archive/scans")
        yield

    [finding] = guarded("source", check)

    assert (finding.state, "/archive/scans" in finding.sentence) == (State.WRONG, True)
