"""A storage on S3 or a compatible server.

It works with servers of other makers:

- Uploads carry Content-MD5, which every server checks, and not botocore's newer checksums, whose chunked form many
  servers refuse.
- If an ETag is the content's MD5 (see etags), the bytes are compared with it, so that a cut or damaged transfer is
  noticed.
- Some servers ignore If-Match, so the ETag of the answer is compared too. Some list ETags without their quotes.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from worker.errors import CredentialsRefused, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage.base import BLOCK_BYTES, LeftOut, Omission, S3Options, StoredObject, Transfer, ignore
from worker.storage.errors import source_changed, too_large, unsafe_key
from worker.storage.files import Digest, digest, scan_errors
from worker.storage.leftovers import is_leftover
from worker.storage.locations import S3Location, is_utf8, without_secrets
from worker.storage.s3.classes import is_archived
from worker.storage.s3.client import CHECK_SECONDS, make_client, within
from worker.storage.s3.errors import are_refused, is_missing, may_not_write, scan_fault, service_fault
from worker.storage.s3.etags import bare, md5_of
from worker.storage.s3.upload import put, try_part
from worker.system.whole_files import removed_on_failure

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

T = TypeVar("T")

_DIRECTORY_BUCKET = "--x-s3"  # the end of the names of AWS' directory buckets


class S3Storage:
    """One prefix of one bucket. All threads of the process share the client and its connections."""

    def __init__(self, location: S3Location, options: S3Options) -> None:
        self.location = location
        self.options = options
        self._client: S3Client = make_client(options)
        self._renewing = threading.Lock()

    @property
    def uri(self) -> str:
        return self.location.uri

    @property
    def address(self) -> str:
        """The store's address as it may be shown."""
        return without_secrets(self._client.meta.endpoint_url)

    def __repr__(self) -> str:
        return f"S3Storage({self.uri!r}, {self.address!r})"

    def check(self) -> None:
        """List one key, which needs s3:ListBucket. It tries twice, so that a single 503 does no harm."""
        within(CHECK_SECONDS, lambda: self._ask(self._impatient_client()), self._unreachable())

    def check_large_uploads(self, key: str) -> None:
        """Large outputs are uploaded in parts. The rights on a KMS key may be enough for small files but
        not for parts.
        """
        within(CHECK_SECONDS, lambda: self._try_part(key), self._unreachable())

    def _try_part(self, key: str) -> None:
        try:
            try_part(self._impatient_client(), self.location.bucket, self._safe(key), self.options)
        except (BotoCoreError, ClientError) as error:
            if may_not_write(error):
                return
            fault = scan_fault(error, key, self.uri, self.address, writing=True)
            error_class = UsageError if fault.permanent else ServiceUnavailable
            sentence = f"{self.uri} can't take large outputs, which are uploaded in parts: {fault.message}"
            raise error_class(sentence) from error

    def _impatient_client(self) -> "S3Client":
        return make_client(replace(self.options, attempts=2, timeout_seconds=4.0, connections=1))

    @property
    def lists_in_order(self) -> bool:
        """AWS guarantees this for all buckets except directory buckets.

        Most other servers do it, but don't guarantee it.
        """
        return self.options.endpoint_url is None and not self.location.bucket.endswith(_DIRECTORY_BUCKET)

    def list(self, *, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
        """Pages of 1 000 keys; "folder marker" objects, whose keys end in "/", are left out."""
        arguments: dict[str, Any] = {"Bucket": self.location.bucket, "Prefix": self._full(""), **self.options.reading()}
        if self._is_on_aws():
            # A restored object keeps its storage class. Only this attribute tells it from one that can't be read.
            arguments["OptionalObjectAttributes"] = ["RestoreStatus"]
        if after:
            arguments["StartAfter"] = self._full(after)
        for page in self._pages(arguments):
            for entry in page.get("Contents", []):
                key = entry["Key"].removeprefix(self._full(""))
                if is_leftover(key):
                    left_out(Omission(key))
                elif not key.endswith("/") and entry["Key"] != self._full(""):
                    yield StoredObject(key, entry["Size"], bare(entry["ETag"]), is_archived(entry))

    def _pages(self, arguments: dict[str, Any]) -> Iterator[Any]:
        """The pages of a listing. Credentials that expire between two pages are read again.

        If they are refused all the same, others are expected to come, because the pages before were listed: the error
        is ServiceUnavailable, so that nobody drops what is listed so far.
        """
        token: str | None = None
        while True:
            part = {**arguments, **({"ContinuationToken": token} if token else {})}
            try:
                page = self._call(lambda client, part=part: client.list_objects_v2(**part))  # type: ignore[misc]
            except (BotoCoreError, ClientError) as error:
                fault = service_fault(error, self.uri, self.address)
                if isinstance(fault, CredentialsRefused) and (token or arguments.get("StartAfter")):
                    raise ServiceUnavailable(fault.message) from error
                raise fault from error
            yield page
            earlier, token = token, page.get("NextContinuationToken")
            if not token:
                return
            if token == earlier:  # the listing would never end
                raise ServiceUnavailable(f"{self.uri}: {self.address} lists one page twice; try again later")

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> Transfer:
        for _ in range(1, self.options.attempts):
            try:
                return self._fetch_once(key, path, etag, max_bytes)
            except _BodyCut:
                # botocore repeats a call that fails before the body, but not one that fails in the body.
                continue
        return self._fetch_once(key, path, etag, max_bytes)

    def store(
        self, path: Path, key: str, *, content_type: str, before_commit: Callable[[], None] = lambda: None
    ) -> Transfer:
        name = self._safe(key)
        with scan_errors(f"reading {path} for {key!r}"):
            try:
                return self._call(
                    lambda client: put(
                        client, self.location.bucket, name, path, content_type, before_commit, self.options
                    )
                )
            except (BotoCoreError, ClientError) as error:
                before_commit()  # an error that it raised during the request arrives here as botocore's error
                raise scan_fault(error, key, self.uri, self.address, writing=True) from error

    def stat(self, key: str) -> StoredObject | None:
        try:
            name = self._safe(key)
            head = self._call(
                lambda client: client.head_object(Bucket=self.location.bucket, Key=name, **self.options.reading())
            )
        except ClientError as error:
            if is_missing(error):
                return None
            raise scan_fault(error, key, self.uri, self.address) from error
        except BotoCoreError as error:
            raise scan_fault(error, key, self.uri, self.address) from error
        return StoredObject(key, head["ContentLength"], bare(head["ETag"]), is_archived(head))

    def _call(self, call: "Callable[[S3Client], T]") -> T:
        """Call with the client.

        If the credentials are refused, call once more with a new client, which reads them again.
        """
        client = self._client
        try:
            return call(client)
        except (BotoCoreError, ClientError) as error:
            if not are_refused(error):
                raise
        with self._renewing:
            if self._client is client:
                self._client = make_client(self.options)
        return call(self._client)

    def _is_on_aws(self) -> bool:
        """Whether AWS answers, and the bucket may hold archived objects: directory buckets have no such classes."""
        host = urlsplit(self._client.meta.endpoint_url).hostname or ""
        return "amazonaws" in host.split(".") and not self.location.bucket.endswith(_DIRECTORY_BUCKET)

    def _full(self, key: str) -> str:
        return f"{self.location.prefix}/{key}" if self.location.prefix else key

    def _safe(self, key: str) -> str:
        # In a URL, "a/../b" would become "b".
        if not key or not {".", ".."}.isdisjoint(key.split("/")) or not is_utf8(key):
            raise unsafe_key(key, "is empty, not UTF-8 or has a '.' or '..' part")
        return self._full(key)

    def _ask(self, client: "S3Client") -> None:
        try:
            prefix = self._full("")
            client.list_objects_v2(Bucket=self.location.bucket, Prefix=prefix, MaxKeys=1, **self.options.reading())
        except (BotoCoreError, ClientError) as error:
            raise service_fault(error, self.uri, self.address) from error

    def _unreachable(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{self.uri}: no answer from {self.address} within {CHECK_SECONDS:g} s; "
            "check the network and PHOTOCHROM_S3_ENDPOINT_URL"
        )

    def _fetch_once(self, key: str, path: Path, etag: str | None, max_bytes: int) -> Transfer:
        arguments: dict[str, Any] = {"Bucket": self.location.bucket, "Key": self._safe(key), **self.options.reading()}
        if etag is not None:
            arguments["IfMatch"] = f'"{etag}"'
        try:
            answer = self._call(lambda client: client.get_object(**arguments))
        except (BotoCoreError, ClientError) as error:
            raise scan_fault(error, key, self.uri, self.address) from error
        # Closing a body that was not read to its end closes the connection: nothing more is downloaded.
        with closing(answer["Body"]) as body:
            if etag is not None and bare(answer["ETag"]) != etag:
                raise source_changed(key, f"its ETag is {bare(answer['ETag'])}, it was {etag}")
            if answer["ContentLength"] > max_bytes:
                raise too_large(key, answer["ContentLength"], max_bytes)
            with scan_errors(f"writing {path}"), removed_on_failure(path), path.open("wb") as target:
                moved = self._read(body, target, key, md5_of(answer))
        return Transfer(moved.bytes, moved.sha256, bare(answer["ETag"]))

    def _read(self, body: Any, target: Any, key: str, md5: str | None) -> Digest:
        try:
            moved = digest(iter(lambda: body.read(BLOCK_BYTES), b""), target, md5=md5 is not None)
        # While a body is read, botocore lets some errors of urllib3 through.
        except (BotoCoreError, HTTPError) as error:
            raise _BodyCut(f"{key!r} was cut on its way from {self.address}: {type(error).__name__}") from error
        if moved.md5 != md5:
            raise _BodyCut(f"{key!r} arrived damaged from {self.address}: MD5 {moved.md5}, expected {md5}")
        return moved


class _BodyCut(StorageUnavailable):
    """The answer began and then broke off."""
