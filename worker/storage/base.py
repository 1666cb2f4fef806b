"""What every storage offers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

BLOCK_BYTES = 1 << 20  # read and written at once


@dataclass(frozen=True, slots=True)
class Omission:
    """What a listing leaves out. `reason` is "" for leftovers of other programs, which need no words each."""

    name: str  # relative, as it can be shown
    reason: str = ""


LeftOut = Callable[[Omission], None]


def ignore(omission: Omission) -> None:
    """For whoever needs no account of what was left out."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing; `key` is relative to the location's prefix."""

    key: str
    bytes: int
    etag: str
    is_archived: bool = False  # in cold storage, so that it must be restored before it can be read


@dataclass(frozen=True, slots=True)
class Transfer:
    """What went over the wire; `etag` is the store's own."""

    bytes: int
    sha256: str
    etag: str


@dataclass(frozen=True, slots=True)
class S3Options:
    """How S3 is reached; credentials and region come from the usual AWS variables, which boto3 reads itself."""

    endpoint_url: str | None = None  # unset means AWS
    attempts: int = 4  # tries of one call, the first included
    timeout_seconds: float = 30.0
    connections: int = 10  # as many as threads use the storage at once
    requester_pays: bool = False
    encryption: str | None = None  # AES256, aws:kms or aws:kms:dsse; None: the bucket's own
    kms_key_id: str | None = None
    unsigned: bool = False  # without credentials

    def reading(self) -> dict[str, Any]:
        """What every request says beside its own arguments."""
        return {"RequestPayer": "requester"} if self.requester_pays else {}

    def writing(self) -> dict[str, Any]:
        """The same of requests that begin an object."""
        encryption = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {**self.reading(), **{name: value for name, value in encryption.items() if value}}


class Storage(Protocol):
    """Bytes and listings. Every method may be called from several threads at once."""

    @property
    def uri(self) -> str:
        """As people write it, without secrets and without a trailing slash."""

    def check(self) -> None:
        """Ask the store once; answers within ten seconds.

        Raises UsageError (missing bucket or folder; CredentialsRefused) or ServiceUnavailable (not reachable).
        """

    @property
    def lists_in_order(self) -> bool:
        """Whether a listing is sure to be in the order of the keys' UTF-8 bytes, so that it can go on after one."""

    def list(self, *, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
        """Everything under the prefix, in key order, page by page; where `lists_in_order`, from after a key on.

        left_out: called with what is not listed though it is there. Raises UsageError or ServiceUnavailable.
        """

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> Transfer:
        """Stream an object into the file `path`, which is removed again when that fails.

        Raises ScanError source_missing, source_changed (its etag is not the one given), too_large (before anything
        is read), denied, unsafe_key or disk_full; StorageUnavailable for what may pass.
        """

    def store(
        self, path: Path, key: str, *, content_type: str, before_commit: Callable[[], None] = lambda: None
    ) -> Transfer:
        """Write the file `path` to `key`, whole or not at all; what was there is replaced.

        before_commit: called in every attempt just before the new object becomes visible. If it raises, nothing is
        stored and the old object stays.

        Raises ScanError destination_missing, denied, unsafe_key, name_too_long, name_taken or disk_full;
        StorageUnavailable for what may pass.
        """

    def stat(self, key: str) -> StoredObject | None:
        """The object at `key`, or None. Raises ScanError denied or unsafe_key, or StorageUnavailable."""
