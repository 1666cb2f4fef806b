"""A folder, on a disk or a NAS, as a storage.

A listing contains regular files. It does not contain leftovers, hidden files, files in symlinked folders, and symlinks
to files outside. Names that are not UTF-8 and folders that can't be read are reported to the caller.
"""

import os
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from worker.errors import ScanError, StorageUnavailable, UsageError
from worker.storage.base import LeftOut, StoredObject, Transfer, ignore
from worker.storage.errors import name_taken, source_changed, source_missing, too_large, unsafe_key
from worker.storage.files import blocks, digest, scan_errors
from worker.storage.folder.listing import NOT_THERE, etag_of, has_other_name, resolved, stat_inside, unreadable, walk
from worker.storage.locations import FolderLocation, is_utf8
from worker.system.whole_files import removed_on_failure, write_beside_then_rename

_PART_PREFIX = ".photochrom-"  # hidden, so listings don't show it
_PART_SUFFIX = ".part"
_STALE_PART_SECONDS = 3600.0
OWN_FOLDERS = ("photochrom-redone", "photochrom-samples")  # in a destination, for jobs that store beside its outputs


class FolderStorage:
    """Objects are the files below one folder. An etag consists of a file's modification time and size."""

    def __init__(self, location: FolderLocation | Path) -> None:
        self.location = location if isinstance(location, FolderLocation) else FolderLocation(location.absolute())
        self._swept: set[Path] = set()
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return self.location.uri

    def __repr__(self) -> str:
        return f"FolderStorage({self.uri!r})"

    def check(self) -> None:
        """Raises UsageError if there is no readable folder, ServiceUnavailable if its disk or share fails."""
        try:
            os.scandir(self.location.path).close()
        except OSError as error:
            if error.errno in NOT_THERE:
                sentence = f"{self.uri} is not a folder; give a folder that exists, or mount it"
                raise UsageError(sentence) from error
            raise unreadable(str(self.location.path), error) from error

    def check_large_uploads(self, key: str) -> None:
        """A folder takes large files as it takes small ones."""

    @property
    def lists_in_order(self) -> bool:
        return True

    def list(self, *, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
        return walk(self._root(), after, left_out)

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> Transfer:
        source = self._path_to_read(key)
        with scan_errors(f"reading {key!r} from {self.uri} into {path}"), self._opened(source, key) as file:
            status = _check_source(key, os.fstat(file.fileno()), etag, max_bytes)
            with removed_on_failure(path), path.open("wb") as target:
                moved = digest(blocks(file), target)
                if etag_of(os.fstat(file.fileno())) != etag_of(status) or moved.bytes != status.st_size:
                    raise source_changed(key, "it was written to while it was read")
        return Transfer(moved.bytes, moved.sha256, etag_of(status))

    def store(
        self,
        path: Path,
        key: str,
        *,
        content_type: str,  # noqa: ARG002 - the protocol's
        before_commit: Callable[[], None] = lambda: None,
    ) -> Transfer:
        """Write a file. A folder stores no content type. A reader sees the old file or the new one, never a part."""
        if not self._is_there():
            # The folder is not made here: if a share is not mounted, its outputs would fill the machine's own disk and
            # be recorded as done.
            sentence = f"{self.uri} is not a folder on this machine; mount it, or create it"
            raise StorageUnavailable(sentence)
        target = self._path_to_write(key)
        with scan_errors(f"writing {key!r} to {self.uri}"):
            _make_folder(target.parent)
            self._sweep(target.parent)
            part = target.parent / f"{_PART_PREFIX}{uuid.uuid4().hex}{_PART_SUFFIX}"
            with write_beside_then_rename(target, part):
                with path.open("rb") as source, part.open("xb") as file:
                    moved = digest(blocks(source), file)
                    file.flush()
                    os.fsync(file.fileno())
                    etag = etag_of(os.fstat(file.fileno()))
                self._expect_no_other_name(target, key)
                # Nothing slow may happen between this check and the renaming. Looking up a name on a NAS may take
                # minutes.
                before_commit()
            _sync_folder(target.parent)
        return Transfer(moved.bytes, moved.sha256, etag)

    def _is_there(self) -> bool:
        """Whether outputs can go into the folder. A folder in OWN_FOLDERS is made if the destination exists."""
        path = self.location.path
        if path.is_dir():
            return True
        for folder in path.parents:
            if folder.name in OWN_FOLDERS and folder.parent.is_dir():
                with scan_errors(f"making {path}"):
                    _make_folder(path)
                return True
        return False

    def stat(self, key: str) -> StoredObject | None:
        with scan_errors(f"looking at {key!r} in {self.uri}"):
            status = stat_inside(self._root(), _safe(key), outside_is=_outside(key))
        return StoredObject(key, status.st_size, etag_of(status)) if status else None

    def _root(self) -> Path:
        return resolved(self.location.path)

    @contextmanager
    def read_in_place(self, key: str, *, etag: str | None, max_bytes: int) -> Iterator[Path]:
        """The file's path, for reading it without a copy. Raises as `fetch`, also if it was replaced in the block."""
        source = self._path_to_read(key)
        with scan_errors(f"reading {key!r} from {self.uri}"), self._opened(source, key) as file:
            status = _check_source(key, os.fstat(file.fileno()), etag, max_bytes)
        yield source
        with scan_errors(f"reading {key!r} from {self.uri}"), self._opened(source, key) as file:
            if etag_of(os.fstat(file.fileno())) != etag_of(status):
                raise source_changed(key, "it was written to while it was read")

    def _path_to_read(self, key: str) -> Path:
        """Raises ScanError for a key that leads out of the folder."""
        root = self._root()
        path = resolved(root / _safe(key))
        if not path.is_relative_to(root):
            raise _outside(key)
        return path

    def _path_to_write(self, key: str) -> Path:
        """The path to write to. Its last part is not resolved, so a symlink there is replaced and not followed."""
        root = self._root()
        path = root / _safe(key)
        if not resolved(path.parent).is_relative_to(root):
            raise _outside(key)
        return path

    def _expect_no_other_name(self, target: Path, key: str) -> None:
        """Raises ScanError if another key has the same name on this disk, because one scan's output would replace the
        other's.
        """
        depth = key.count("/")
        if target.exists() and any(has_other_name(path) for path in (target, *target.parents[:depth])):
            raise name_taken(key, self.uri)

    def _opened(self, source: Path, key: str) -> BinaryIO:
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
            opened = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            if not self.location.path.is_dir():
                raise StorageUnavailable(f"{self.uri} is not there any more; is it mounted?") from None
            raise source_missing(key, self.uri) from None
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return os.fdopen(opened, "rb")
        os.close(opened)
        raise source_missing(key, self.uri)

    def _sweep(self, folder: Path) -> None:
        """Remove files that killed processes left unfinished, once for each folder that this storage writes to."""
        with self._lock:
            if folder in self._swept:
                return
            self._swept.add(folder)
        for part in folder.glob(f"{_PART_PREFIX}*{_PART_SUFFIX}"):
            with suppress(OSError):
                if time.time() - part.lstat().st_mtime > _STALE_PART_SECONDS:
                    part.unlink()


def _safe(key: str) -> str:
    """`key`, if it is a plain relative path. A listing of S3 may contain other keys. Raises ScanError for these."""
    if "\0" in key or not {"", ".", ".."}.isdisjoint(key.split("/")) or not is_utf8(key):
        raise unsafe_key(key, "is not a plain relative path")
    return key


def _check_source(key: str, status: os.stat_result, etag: str | None, max_bytes: int) -> os.stat_result:
    if etag is not None and etag != etag_of(status):
        raise source_changed(key, f"its etag is {etag_of(status)}, it was {etag}")
    if status.st_size > max_bytes:
        raise too_large(key, status.st_size, max_bytes)
    return status


def _make_folder(folder: Path) -> None:
    # mkdir(parents=True) is recursive, and a hostile key may have more parts than Python's stack allows.
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # The new name must survive a power cut too, because a scan that is recorded as done must have its output.
    with suppress(OSError):  # some network file systems can't do this
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _outside(key: str) -> ScanError:
    return unsafe_key(key, "leads out of the folder through a symlink")
