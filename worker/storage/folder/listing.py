"""What is in a folder: the walk, the rules for symlinks, and etags."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from worker.errors import ScanError, UsageError
from worker.storage.base import StoredObject
from worker.storage.locations import is_utf8

NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def walk(root: Path, after: str = "") -> Iterator[StoredObject]:
    """The files below `root` in the order that S3 would list their keys; holds one folder's names for each level.

    Those up to the key `after` are passed over, and folders that hold no others not looked into.

    Raises UsageError for a folder that can't be read and for a name that is not UTF-8.
    """
    levels = [iter(_names(root, ""))]
    while levels:
        key = next(levels[-1], None)
        if key is None:
            levels.pop()
        elif key.endswith("/"):
            if key > after or after.startswith(key):
                levels.append(iter(_names(root, key)))
        elif key <= after:
            continue
        elif (found := _listed(root, key)) is not None:
            yield found


def _names(root: Path, key: str) -> list[str]:
    """The keys directly inside `key` ("" or ending in "/"), sorted as S3 sorts them; folders end in "/"."""
    folder = root / key
    try:
        with os.scandir(folder) as entries:
            return sorted(
                key + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                for entry in entries
                if not entry.name.startswith(".") and _storable(folder, entry.name)
            )
    except OSError as error:
        raise unreadable(str(folder), error) from error


def _storable(folder: Path, name: str) -> bool:
    if not is_utf8(name):
        raise UsageError(f"the file name {str(folder / name)!a} is not UTF-8; rename the file")
    return True


def _listed(root: Path, key: str) -> StoredObject | None:
    try:
        found = stat_inside(root, key)
    except OSError as error:
        raise unreadable(str(root / key), error) from error
    return StoredObject(key, found.st_size, etag_of(found)) if found else None


def stat_inside(root: Path, key: str, *, outside_is: ScanError | None = None) -> os.stat_result | None:
    """The regular file at `key`, symlinks followed as long as they stay inside; None for anything else."""
    path = root / key
    try:
        if not resolved(path).is_relative_to(root):
            if outside_is:
                raise outside_is
            return None
        found = path.stat()
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) else None


def has_other_name(path: Path) -> bool:
    """Whether what is at `path`, if anything, has that name in other capitals, on a disk that takes one for the other.

    exFAT, SMB and macOS do. Raises OSError.
    """
    other = path.with_name(path.name.swapcase())
    if other == path or not _is_same_file(path, other):
        return False
    return path.name not in (each.name for each in path.parent.iterdir())


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return other.samefile(path)
    except OSError:
        return False


def resolved(path: Path) -> Path:
    # Path.resolve() raises RuntimeError for a loop of symlinks on some versions of Python.
    return Path(os.path.realpath(path))


def etag_of(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def unreadable(path: str, error: OSError) -> UsageError:
    return UsageError(f"{path!r} can't be read: {os.strerror(error.errno or 0)}; grant access to it")
