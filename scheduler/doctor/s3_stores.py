"""The doctor's checks of an S3 store: its clock, an upload in parts, and the removal of the test file."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scheduler.doctor.finding import Finding, State
from worker.storage import S3Location, S3Options
from worker.storage.s3.client import make_client
from worker.storage.s3.upload import put_parts

PARTS_KEY = "photochrom-doctor-parts.txt"
_CONTENT = b"written by photochrom doctor; may be removed\n"


def time_at(location: S3Location, options: S3Options) -> datetime:
    """The clock of a source's server."""
    always: dict[str, Any] = options.reading()
    answer = make_client(options).list_objects_v2(Bucket=location.bucket, MaxKeys=1, **always)
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def removed(location: S3Location, key: str, options: S3Options) -> Iterator[Finding]:
    """Remove the test file. Workers never need the right to do this."""
    always: dict[str, Any] = options.reading()
    try:
        make_client(options).delete_object(Bucket=location.bucket, Key=_full_key(location, key), **always)
    except (BotoCoreError, ClientError):
        yield Finding(
            "destination", State.NOTE, f"{location.uri}/{key} stays there, because the right to remove it is missing"
        )


def in_parts(location: S3Location, options: S3Options) -> Iterator[Finding]:
    """Upload a file in parts, as large outputs are. A policy or a KMS key may allow small uploads and refuse these."""
    try:
        put_parts(
            make_client(options),
            location.bucket,
            _full_key(location, PARTS_KEY),
            BytesIO(_CONTENT),
            len(_CONTENT),
            "text/plain",
            before_commit=lambda: None,
            options=options,
        )
    except (BotoCoreError, ClientError) as error:
        sentence = f"{location.uri} takes small files, but no upload in parts ({' '.join(str(error).split())[:200]})"
        remedy = (
            "allow s3:PutObject and s3:AbortMultipartUpload, and with a KMS key kms:Decrypt and kms:GenerateDataKey"
        )
        yield Finding("destination", State.WRONG, sentence, remedy)
        return
    yield Finding("destination", State.FINE, f"{location.uri} takes uploads in parts")
    yield from removed(location, PARTS_KEY, options)


def _full_key(location: S3Location, key: str) -> str:
    return f"{location.prefix}/{key}".lstrip("/")
