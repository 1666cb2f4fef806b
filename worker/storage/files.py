"""Writes bytes into local files and computes digests; translates the operating system's errors for a scan."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import ScanError, StorageUnavailable
from worker.storage.base import BLOCK_BYTES

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_TAKEN = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}


@dataclass(frozen=True, slots=True)
class Digest:
    """The number of bytes and their digests, in hexadecimal."""

    bytes: int
    sha256: str
    md5: str | None


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file, a block at a time."""
    return iter(lambda: source.read(BLOCK_BYTES), b"")


def digest(parts: Iterable[bytes], target: BinaryIO | None = None, *, md5: bool = False) -> Digest:
    """Count and hash `parts`, and write them to `target`. MD5 takes the longest, so it is computed only if `md5`."""
    sha256, also_md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    for part in parts:
        size += len(part)
        sha256.update(part)
        if md5:
            also_md5.update(part)
        if target is not None:
            target.write(part)
    return Digest(size, sha256.hexdigest(), also_md5.hexdigest() if md5 else None)


@contextmanager
def scan_errors(action: str) -> Iterator[None]:
    """Turn OSError into ScanError; `action` says what was being read or written, where."""
    try:
        yield
    except OSError as error:
        raise _scan_error(error, action) from error


def _scan_error(error: OSError, action: str) -> ScanError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    sentence = f"{action}: {reason}"
    if error.errno in _FULL:
        return ScanError("disk_full", f"{sentence}; make room, then retry", permanent=False)
    if error.errno in _DENIED:
        return ScanError("denied", f"{sentence}; grant access, then retry", permanent=True)
    if error.errno == errno.ENAMETOOLONG:
        return ScanError("name_too_long", f"{sentence}; expected a shorter key", permanent=True)
    if error.errno in _TAKEN:
        return ScanError("name_taken", f"{sentence}; a folder and a file can't share one name", permanent=True)
    return StorageUnavailable(sentence)
