"""The policies for S3 grant what the code asks of S3, each on the right resource, and a few things that it must not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from scheduler.integrity.bag import TAG_FILES
from scheduler.report import REPORTS
from scheduler.submission.submitter import _TRIAL_KEY
from worker.storage import S3Location, S3Options
from worker.storage.s3 import storage as s3_storage
from worker.storage.s3 import upload
from worker.storage.s3.storage import S3Storage

POLICIES = Path(__file__).parents[3] / "deploy" / "s3-policies"
SOURCE = S3Location("source", "plates")
DESTINATION = S3Location("destination", "colour")
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
ACTIONS = {
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "head_object": "s3:GetObject",
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
}
ANSWERS: dict[str, Callable[[], dict[str, Any]]] = {
    "list_objects_v2": lambda: {"Contents": [{"Key": "plates/a.tif", "Size": 4, "ETag": "0"}]},
    "list_multipart_uploads": lambda: {"Uploads": [{"Key": "colour/a.tif", "UploadId": "of a killed worker"}]},
    "head_object": lambda: {"ContentLength": 4, "ETag": "0"},
    "get_object": lambda: {"ContentLength": 4, "ETag": "0", "Body": BytesIO(b"scan")},
    "create_multipart_upload": lambda: {"UploadId": "1"},
}


@dataclass(frozen=True)
class Call:
    action: str
    resource: str
    prefix: str | None = None  # of a listing


class Client:
    """Answers every call, and notes it in `calls`."""

    class meta:  # noqa: N801 - botocore's name
        endpoint_url = "https://s3.example"

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**arguments: Any) -> dict[str, Any]:
            resource = f"arn:aws:s3:::{arguments['Bucket']}"
            if "Key" in arguments:
                resource += f"/{arguments['Key']}"
            prefix = arguments.get("Prefix") if name == "list_objects_v2" else None
            self.calls.append(Call(ACTIONS[name], resource, prefix))
            return ANSWERS.get(name, lambda: {"ETag": "0"})()

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls of every storage; a file of more than two bytes is uploaded in parts."""
    calls = list[Call]()
    monkeypatch.setattr(s3_storage, "make_client", lambda options: Client(calls))
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 2)
    return calls


def statements(policy: str) -> list[dict[str, Any]]:
    text = (POLICIES / f"{policy}.json").read_text("utf-8")
    for place, location in (("SOURCE", SOURCE), ("DESTINATION", DESTINATION)):
        text = text.replace(f"{place}_BUCKET", location.bucket).replace(f"{place}_PREFIX", location.prefix)
    rows: list[dict[str, Any]] = json.loads(text)["Statement"]
    return rows


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def grants(policy: str, call: Call) -> bool:
    return any(_allows(statement, call) for statement in statements(policy))


def _allows(statement: dict[str, Any], call: Call) -> bool:
    assert statement["Effect"] == "Allow"
    if call.action not in several(statement["Action"]):
        return False
    if not any(fnmatchcase(call.resource, pattern) for pattern in several(statement["Resource"])):
        return False
    condition = statement.get("Condition")
    if condition is None:
        return True
    # Of these actions, only ListBucket knows s3:prefix; with such a condition, another one is always refused.
    prefixes = condition["StringLike"]["s3:prefix"]
    return call.prefix is not None and any(fnmatchcase(call.prefix, pattern) for pattern in prefixes)


def store(destination: S3Storage, folder: Path, *keys: str) -> None:
    """Store each key twice: in one request and in parts."""
    for content in (b"x", b"in parts"):
        (folder / "output").write_bytes(content)
        for key in keys:
            destination.store(folder / "output", key, content_type="image/tiff")


def work(source: S3Storage, destination: S3Storage, folder: Path) -> None:
    source.fetch("a.tif", folder / "scan", etag=None, max_bytes=9)
    store(destination, folder, "a.tif")


def submit_and_report(source: S3Storage, destination: S3Storage, folder: Path) -> None:
    for storage in (source, destination):
        storage.check()
        assert list(storage.list())
        storage.stat("a.tif")
        storage.fetch("a.tif", folder / "scan", etag=None, max_bytes=9)
    destination.check_large_uploads(_TRIAL_KEY)
    store(destination, folder, f"{REPORTS}2026-01-01-job-1.html")


def seal_bags(_: S3Storage, destination: S3Storage, folder: Path) -> None:
    assert list(S3Storage(S3Location(DESTINATION.bucket, f"{DESTINATION.prefix}/data"), S3Options()).list())
    store(destination, folder, *TAG_FILES)


TASKS = {"worker": work, "submit-and-report": submit_and_report, "seal-bags": seal_bags}


@pytest.mark.parametrize("policy", TASKS)
def test_a_policy_grants_every_call_of_its_task(policy: str, calls: list[Call], tmp_path: Path) -> None:
    TASKS[policy](S3Storage(SOURCE, S3Options()), S3Storage(DESTINATION, S3Options()), tmp_path)

    assert "s3:ListBucketMultipartUploads" in {call.action for call in calls}
    assert [call for call in calls if not grants(policy, call)] == []


@pytest.mark.parametrize("policy", TASKS)
def test_no_policy_lets_anybody_change_a_scan(policy: str) -> None:
    assert not grants(policy, Call("s3:PutObject", "arn:aws:s3:::source/plates/a.tif"))
    actions = {action for statement in statements(policy) for action in several(statement["Action"])}
    assert actions <= set(ACTIONS.values())


def test_there_is_no_other_policy() -> None:
    assert set(_names()) == set(TASKS)


def _names() -> Iterator[str]:
    return (path.stem for path in POLICIES.iterdir() if path.suffix == ".json")
