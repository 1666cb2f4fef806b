"""Uploads one file to S3, completely or not at all: by a single PUT, or in parts if it is large."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from worker.errors import StorageUnavailable
from worker.storage.base import S3Options, Transfer
from worker.storage.files import Digest, blocks, digest
from worker.storage.s3.etags import bare, md5_of

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

MULTIPART_BYTES = 100 << 20  # a larger file is uploaded in parts, so that a broken connection costs only one part
PART_BYTES = 16 << 20
MOST_PARTS = 10_000  # S3's limit


class _GuardedFile:
    """A file that calls a check before each block is read.

    If the check raises, the request's body breaks off and nothing is stored.
    """

    def __init__(self, file: BinaryIO, before_block: Callable[[], None]) -> None:
        self._file, self._before_block = file, before_block

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._before_block()
        return block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def put(
    client: "S3Client",
    bucket: str,
    name: str,
    path: Path,
    content_type: str,
    before_commit: Callable[[], None] = lambda: None,
    options: S3Options = S3Options(),  # noqa: B008 - frozen
) -> Transfer:
    """Upload `path`. Every request has the MD5 of its bytes, so the server refuses damaged ones.

    before_commit: see Storage.store. An upload in one request calls it before each block, also before the last one.
    Raises OSError for the file, BotoCoreError and ClientError for S3, StorageUnavailable if S3 has stored other bytes.
    """
    with path.open("rb") as file:
        whole = digest(blocks(file), md5=True)
        file.seek(0)
        if whole.bytes > MULTIPART_BYTES:
            etag = put_parts(client, bucket, name, file, whole.bytes, content_type, before_commit, options)
        else:
            guarded = cast("BinaryIO", _GuardedFile(file, before_commit))
            etag = _put_whole(client, bucket, name, guarded, whole, content_type, options)
    return Transfer(whole.bytes, whole.sha256, bare(etag))


def _put_whole(
    client: "S3Client",
    bucket: str,
    name: str,
    file: BinaryIO,
    whole: Digest,
    content_type: str,
    options: S3Options,
) -> str:
    extra: dict[str, Any] = options.writing()
    answer = client.put_object(
        Bucket=bucket,
        Key=name,
        Body=file,
        ContentLength=whole.bytes,
        ContentMD5=base64.b64encode(bytes.fromhex(whole.md5 or "")).decode(),
        ContentType=content_type,
        **extra,
    )
    if md5_of(answer) not in (None, whole.md5):
        raise StorageUnavailable(f"{name!r} was stored damaged: MD5 {md5_of(answer)}, expected {whole.md5}")
    return answer["ETag"]


def put_parts(
    client: "S3Client",
    bucket: str,
    name: str,
    file: BinaryIO,
    size: int,
    content_type: str,
    before_commit: Callable[[], None],
    options: S3Options,
) -> str:
    """Upload in parts. boto3's own transfer manager is not used, because it sends no MD5 with its parts and starts
    threads.
    """
    extra: dict[str, Any] = options.writing()
    always: dict[str, Any] = options.reading()
    before_commit()  # without the lease, unfinished uploads may belong to its new holder
    _abort_earlier(client, bucket, name, always)
    upload = client.create_multipart_upload(Bucket=bucket, Key=name, ContentType=content_type, **extra)["UploadId"]
    try:
        parts = [
            _put_part(client, bucket, name, upload, number, part, always)
            for number, part in enumerate(_parts(file, size), start=1)
        ]
        before_commit()
        done = client.complete_multipart_upload(
            Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}, **always
        )
    except BaseException:
        # Parts of an unfinished upload are stored and billed, but appear in no listing of objects.
        with suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload, **always)
        raise
    return done["ETag"]


def try_part(client: "S3Client", bucket: str, name: str, options: S3Options) -> None:
    """Begin an upload, send one small part and abort the upload. Nothing stays, and no right to delete is needed.

    With a KMS key, S3 needs kms:GenerateDataKey to begin, and kms:Decrypt for each part:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
    """
    extra: dict[str, Any] = options.writing()
    always: dict[str, Any] = options.reading()
    upload = client.create_multipart_upload(Bucket=bucket, Key=name, ContentType="text/plain", **extra)["UploadId"]
    try:
        _put_part(client, bucket, name, upload, 1, b"photochrom tries an upload in parts\n", always)
    finally:
        with suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload, **always)


def _abort_earlier(client: "S3Client", bucket: str, name: str, always: dict[str, Any]) -> None:
    """Abort uploads of the same output that a killed worker left behind, because their parts would be billed for ever.

    This is safe, because an output belongs to one scan, and this worker has its lease. Without the right to list
    uploads, the bucket needs a lifecycle rule.
    """
    with suppress(BotoCoreError, ClientError):
        listing = client.list_multipart_uploads(Bucket=bucket, Prefix=name, **always)
        for earlier in listing.get("Uploads", []):
            if earlier["Key"] == name:
                client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=earlier["UploadId"], **always)


def _parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    part_bytes = max(PART_BYTES, -(-size // MOST_PARTS))
    return iter(lambda: file.read(part_bytes), b"")


def _put_part(
    client: "S3Client", bucket: str, name: str, upload: str, number: int, part: bytes, extra: dict[str, Any]
) -> "CompletedPartTypeDef":
    md5 = base64.b64encode(hashlib.md5(part, usedforsecurity=False).digest()).decode()
    answer = client.upload_part(
        Bucket=bucket, Key=name, UploadId=upload, PartNumber=number, Body=part, ContentMD5=md5, **extra
    )
    return {"PartNumber": number, "ETag": answer["ETag"]}
