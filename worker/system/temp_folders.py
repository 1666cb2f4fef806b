"""Temporary folders that are removed with their process, also after a kill -9."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from worker.errors import UsageError
from worker.system.whole_files import write_beside_then_rename

_LOCK = "in-use"


def usual_folder() -> Path:
    """The machine's folder for temporary files. Raises UsageError if this user can't write there."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UsageError(
            f"no temporary file can be written ({error.strerror}); set TMPDIR to a folder with room"
        ) from None


@contextmanager
def own_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """A new folder for this process, which is removed after the block. Folders of killed processes are removed first.

    It is marked by a lock, which ends with this process in any case, and which children don't inherit. A process id is
    not enough, because another process, or one in another container, may have the same.
    """
    sweep(prefix, parent)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with ExitStack() as lock:
            # It is renamed after it is locked, so that nobody finds it at its place without its lock.
            with write_beside_then_rename(folder / _LOCK) as part:
                fcntl.flock(lock.enter_context(part.open("w")), fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(prefix: str, parent: Path) -> None:
    """Remove the folders of processes that have ended; folders of other users are not touched."""
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and _is_left_behind(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    with (folder / _LOCK).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
