"""Locations as people write them: `s3://bucket/prefix` or a folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UsageError
from worker.system.mounts import is_same, paths_within, read_mounts

# AWS' rules for bucket names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[sS]3:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket, and a prefix in it that is used like a folder ("" for the whole bucket)."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class FolderLocation:
    """A folder. `path` is absolute, because workers run in another folder than the person who wrote it."""

    path: Path

    @property
    def uri(self) -> str:
        return str(self.path)


Location = S3Location | FolderLocation


def parse_location(text: str) -> Location:
    """The location in `text`. Raises UsageError for anything except `s3://bucket[/prefix]` and a folder's path."""
    if not text or _CONTROL.search(text) or not is_utf8(text):
        raise _refused(text, "is not a place")
    if text.startswith("s3://"):
        return _parse_s3(text)
    if _SCHEME.match(text):
        raise _refused(text, "has a scheme that is not s3://")
    return _parse_folder(text)


def overlap(a: Location, b: Location) -> bool:
    """Whether the two are equal or one is inside the other, even if a folder has several paths."""
    if isinstance(a, S3Location) and isinstance(b, S3Location):
        inside_a, inside_b = f"{a.prefix}/".lstrip("/"), f"{b.prefix}/".lstrip("/")
        return a.bucket == b.bucket and (inside_a.startswith(inside_b) or inside_b.startswith(inside_a))
    if isinstance(a, FolderLocation) and isinstance(b, FolderLocation):
        try:
            one, other = a.path.resolve(), b.path.resolve()
        except RuntimeError:
            raise UsageError(f"{a.path} or {b.path} is a loop of symbolic links; name a folder") from None
        return _reaches(one, other) or _reaches(other, one)
    return False


def without_secrets(text: str) -> str:
    """A URL or path as it may be shown: without `user:password@`, query (it may contain a signature) and
    control codes.
    """
    # Up to the last "@", because an AWS secret key may contain a "/".
    text = re.sub(r"//.*@", "//***@", text, flags=re.DOTALL)
    if "://" in text:
        text = re.sub(r"[?#].*", "?...", text, flags=re.DOTALL)
    return text if text.isprintable() else ascii(text)[1:-1]


def _reaches(folder: Path, other: Path) -> bool:
    """Whether `folder`, or something that is mounted in it, is in `other` by any path. Both are resolved."""
    return any(_lies_in(path, other) for path in (folder, *paths_within(folder, read_mounts())))


def _lies_in(folder: Path, other: Path) -> bool:
    """Whether `folder` is in `other`; both are resolved.

    The same folder may have a second path: by a bind mount or, on some disks, with other upper and lower case.
    """
    return folder.is_relative_to(other) or any(is_same(path, other) for path in (folder, *folder.parents))


def _parse_s3(text: str) -> S3Location:
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise _refused(text, "names no possible bucket (3 to 63 of a-z, 0-9, '.' and '-')")
    prefix = prefix.rstrip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise _refused(text, "has an empty, '.' or '..' part in its prefix")
    return S3Location(bucket, prefix)


def _parse_folder(text: str) -> FolderLocation:
    try:
        path = Path(text).expanduser().absolute()
        return FolderLocation(path.resolve() if ".." in path.parts else path)
    except (OSError, RuntimeError):
        raise _refused(text, "is not the path of a folder") from None


def _refused(text: str, problem: str) -> UsageError:
    return UsageError(
        f"{without_secrets(text)!r} {problem}; give s3://bucket, s3://bucket/prefix or the path of a folder"
    )


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
