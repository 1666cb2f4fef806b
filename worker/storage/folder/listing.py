"""What is in a folder: the walk, the rules for symlinks, and etags."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from worker.errors import ScanError, UsageError
from worker.storage.base import LeftOut, Omission, StoredObject, ignore
from worker.storage.leftovers import is_leftover
from worker.storage.locations import is_utf8

NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def walk(root: Path, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
    """The files below `root` in the order that S3 would list their keys; holds one folder's names for each level.

    Those up to the key `after` are passed over, and folders that hold no others not looked into.

    `left_out` is called with leftovers, with names that are not UTF-8, which no database can keep, and with folders and
    files that can't be read. Raises UsageError when `root` itself can't be.
    """
    levels = [iter(_names(root, "", left_out))]
    while levels:
        key = next(levels[-1], None)
        if key is None:
            levels.pop()
        elif key.endswith("/"):
            if key > after or after.startswith(key):
                levels.append(iter(_names(root, key, left_out)))
        elif key <= after:
            continue
        elif (entry := _listed(root, key, left_out)) is not None:
            yield entry


def _names(root: Path, key: str, left_out: LeftOut) -> list[str]:
    """The keys directly inside `key` ("" or ending in "/"), sorted as S3 sorts them; folders end in "/"."""
    folder = root / key
    try:
        with os.scandir(folder) as entries:
            return sorted(
                key + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                for entry in entries
                if _is_listed(key, entry.name, left_out)
            )
    except OSError as error:
        # Anything but missing rights, such as a share that went away, may concern all the rest.
        if not key or not isinstance(error, PermissionError):
            raise unreadable(str(folder), error) from error
        left_out(Omission(key, f"it can't be read: {os.strerror(error.errno or 0)}; grant access to it"))
        return []


def _is_listed(key: str, name: str, left_out: LeftOut) -> bool:
    if is_leftover(name):
        left_out(Omission(key + ascii(name)[1:-1]))
        return False
    if not is_utf8(name):
        left_out(Omission(key + ascii(name)[1:-1], "its name is not UTF-8; rename it"))
        return False
    return True


def _listed(root: Path, key: str, left_out: LeftOut) -> StoredObject | None:
    try:
        status = stat_inside(root, key)
    except PermissionError as error:
        left_out(Omission(key, f"it can't be read: {os.strerror(error.errno or 0)}; grant access to it"))
        return None
    except OSError as error:
        raise unreadable(str(root / key), error) from error
    return StoredObject(key, status.st_size, etag_of(status)) if status else None


def stat_inside(root: Path, key: str, *, outside_is: ScanError | None = None) -> os.stat_result | None:
    """The regular file at `key`, symlinks followed as long as they stay inside; None for anything else."""
    path = root / key
    try:
        if not resolved(path).is_relative_to(root):
            if outside_is:
                raise outside_is
            return None
        status = path.stat()
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None


def has_other_name(path: Path) -> bool:
    """Whether what is at `path`, if anything, has that name in other capitals, on a disk that takes one for the other.

    exFAT, SMB and macOS do. Raises OSError.
    """
    other = path.with_name(path.name.swapcase())
    if other == path or not _is_same_file(path, other):
        return False
    return path.name not in (entry.name for entry in path.parent.iterdir())


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return other.samefile(path)
    except OSError:
        return False


def resolved(path: Path) -> Path:
    # Path.resolve() raises RuntimeError for a loop of symlinks on some versions of Python.
    return Path(os.path.realpath(path))


def etag_of(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def unreadable(path: str, error: OSError) -> UsageError:
    return UsageError(f"{path!r} can't be read: {os.strerror(error.errno or 0)}; grant access to it")
