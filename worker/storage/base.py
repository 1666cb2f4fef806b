"""The interface of every storage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

BLOCK_BYTES = 1 << 20  # read and written at once


@dataclass(frozen=True, slots=True)
class Omission:
    """Something that a listing leaves out.

    `reason` is "" for leftovers of other programs, which need no explanation.
    """

    name: str  # relative, in a form that can be shown
    reason: str = ""


LeftOut = Callable[[Omission], None]


def ignore(omission: Omission) -> None:
    """Does nothing, for callers that don't need omissions."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing; `key` is relative to the location's prefix."""

    key: str
    bytes: int
    etag: str
    is_archived: bool = False  # in cold storage; it must be restored before it can be read


@dataclass(frozen=True, slots=True)
class Transfer:
    """A finished transfer; `etag` is the store's own."""

    bytes: int
    sha256: str
    etag: str


@dataclass(frozen=True, slots=True)
class S3Options:
    """How to reach S3. Credentials and region come from the usual AWS variables, which boto3 reads itself."""

    endpoint_url: str | None = None  # unset means AWS
    attempts: int = 4  # attempts of one call, including the first
    timeout_seconds: float = 30.0
    connections: int = 10  # at least as many as threads that use the storage
    requester_pays: bool = False
    encryption: str | None = None  # AES256, aws:kms or aws:kms:dsse; None: the bucket's own
    kms_key_id: str | None = None
    unsigned: bool = False  # sources are read without credentials

    def reading(self) -> dict[str, Any]:
        """Additional arguments for every request."""
        return {"RequestPayer": "requester"} if self.requester_pays else {}

    def writing(self) -> dict[str, Any]:
        """Additional arguments for requests that create an object."""
        encryption = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {**self.reading(), **{name: value for name, value in encryption.items() if value}}


class Storage(Protocol):
    """Stores and lists files. Every method may be called from several threads at once."""

    @property
    def uri(self) -> str:
        """The location as people write it, without secrets and without a slash at the end."""

    def check(self) -> None:
        """Check that the store answers. This takes at most ten seconds.

        Raises UsageError (missing bucket or folder; CredentialsRefused) or ServiceUnavailable (not reachable).
        """

    def check_large_uploads(self, key: str) -> None:
        """Check that a large output can be stored: try it at `key`, and leave nothing there.

        Says nothing if this process may not write there at all, because the workers may. Raises UsageError or
        ServiceUnavailable.
        """

    @property
    def lists_in_order(self) -> bool:
        """Whether a listing is always sorted by the keys' UTF-8 bytes, so that it can be continued after a key."""

    def list(self, *, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
        """Everything under the prefix in key order, page by page; with `lists_in_order`, only keys after `after`.

        left_out: called for everything that exists but is not listed. Raises UsageError or ServiceUnavailable.
        """

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> Transfer:
        """Stream an object into the file `path`. If this fails, the file is removed.

        Raises ScanError source_missing, source_changed (its etag is not `etag`), too_large (before anything is read),
        denied, unsafe_key or disk_full; StorageUnavailable for errors that may pass.
        """

    def store(
        self, path: Path, key: str, *, content_type: str, before_commit: Callable[[], None] = lambda: None
    ) -> Transfer:
        """Write the file `path` to `key`, completely or not at all. An existing object is replaced.

        before_commit: called in every attempt just before the new object becomes visible. If it raises, nothing is
        stored and the old object stays.

        Raises ScanError destination_missing, denied, unsafe_key, name_too_long, name_taken or disk_full;
        StorageUnavailable for errors that may pass.
        """

    def stat(self, key: str) -> StoredObject | None:
        """The object at `key`, or None. Raises ScanError denied or unsafe_key, or StorageUnavailable."""
