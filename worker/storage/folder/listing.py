"""Lists folders: order, rules for symlinks, and etags."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.storage.base import LeftOut, Omission, StoredObject, ignore
from worker.storage.leftovers import is_leftover
from worker.storage.locations import is_utf8

NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
# These come again until a person does something. Every other error may pass, as when a NAS does not answer for a while.
_LASTING = {*NOT_THERE, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL}


def walk(root: Path, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
    """The files below `root`, in the order in which S3 would list their keys.

    Only one folder's names for each level are in memory.

    Keys up to `after` are left out, and folders with only such keys are not opened.

    `left_out` is called for leftovers, for names that are not UTF-8 (a database can't store them), and for folders and
    files that may not be read. Raises UsageError if there is no `root`, or it may not be read; ServiceUnavailable for
    errors that may pass, for a folder inside that is gone, and for another folder in the place of one, because a share
    may be unmounted.
    """
    levels = [level] if (level := _open_level(root, "", left_out)) else []
    if after and level and not level.key_count:
        raise _emptied(root, after)
    while levels:
        key = next(levels[-1].keys, None)
        if key is None:
            levels.pop()
        elif key.endswith("/"):
            is_due = key > after or after.startswith(key)
            if is_due and (level := _open_level(root, key, left_out)):
                levels.append(level)
                if not level.key_count:
                    _expect_unchanged(levels)
        elif key <= after:
            continue
        elif (entry := _listed(root, key, left_out)) is not None:
            yield entry
        else:
            _expect_unchanged(levels)


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder that is being listed: the keys inside it, and what it was when they were read."""

    folder: Path
    status: os.stat_result
    keys: Iterator[str]
    key_count: int


def _expect_unchanged(levels: Sequence[_Level]) -> None:
    """Raises ServiceUnavailable if one of these folders is not the one any more that was opened.

    Called where something is missing or empty. When a share is unmounted, the folder below it appears, and everything
    else seems to be gone. It is not called more often, because some network file systems give a folder a new inode
    number from time to time.
    """
    for level in levels:
        try:
            is_same = os.path.samestat(level.folder.stat(), level.status)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise unreadable(str(level.folder), error) from error
            is_same = False
        if not is_same:
            raise _gone(level.folder)


def _gone(folder: Path) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{str(folder)!r} is gone since the listing began; mount it, or list again if it was removed"
    )


def _emptied(root: Path, after: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{str(root)!r} is empty, but had the files up to {after!r} when its listing began; mount it, or cancel the "
        "job that is listed if they were removed"
    )


def _open_level(root: Path, key: str, left_out: LeftOut) -> _Level | None:
    """The folder `key` ("" or ending in "/"), with the keys directly inside it, sorted as S3 sorts them; those of
    folders end in "/". None for a folder inside that may not be read.
    """
    folder = root / key
    try:
        status = folder.stat()
        names = _names(folder, key, left_out)
    except OSError as error:
        # Other errors than missing rights, such as a share that has gone, may affect everything else.
        if key and error.errno in NOT_THERE:
            raise _gone(folder) from error
        if not key or not isinstance(error, PermissionError):
            raise unreadable(str(folder), error) from error
        left_out(Omission(key, f"it can't be read: {os.strerror(error.errno or 0)}; grant access to it"))
        return None
    return _Level(folder, status, iter(names), len(names))


def _names(folder: Path, key: str, left_out: LeftOut) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            key + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
            for entry in entries
            if _is_listed(key, entry.name, left_out)
        )


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
    """The regular file at `key`; None for anything else. Symlinks are followed if they stay inside `root`."""
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
    """Whether a file exists at `path` whose real name differs in upper and lower case, on a disk that ignores case.

    exFAT, SMB and macOS ignore case. Raises OSError.
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


def unreadable(path: str, error: OSError) -> UsageError | ServiceUnavailable:
    """The error for a folder or file that can't be read: ServiceUnavailable if that may pass."""
    reason = os.strerror(error.errno or 0)
    if may_pass(error):
        return ServiceUnavailable(f"{path!r} can't be read now ({reason}); check its disk or its share")
    return UsageError(f"{path!r} can't be read: {reason}; grant access to it")


def may_pass(error: OSError) -> bool:
    return error.errno not in _LASTING


def is_missing(path: Path) -> bool:
    """Whether nothing is at `path`. Raises UsageError or ServiceUnavailable if that can't be seen."""
    try:
        path.stat()
    except OSError as error:
        if error.errno in NOT_THERE:
            return True
        raise unreadable(str(path), error) from error
    return False
