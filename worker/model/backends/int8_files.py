"""Keeps networks that were converted to 8 bits, because a conversion takes some 20 seconds of processor time."""

import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from worker.model.backends.precision_file import locked
from worker.system.whole_files import write_beside_then_rename

logger = logging.getLogger(__name__)

_DIGEST_BYTES = hashlib.sha256().digest_size
_UNUSED_SECONDS = 90 * 86_400.0


def kept(folder: Path | None, key: str, convert: Callable[[], bytes]) -> bytes:
    """The network for `key` from `folder`, or the result of `convert`, which is then kept there: the bytes that
    `int8.Interpreter` takes.

    A damaged file is made again. Files that nobody has used for 90 days are removed. Without a folder, or in one that
    others can write, nothing is read or kept.
    """
    if folder is None or not _is_own(folder):
        return convert()
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.tflite"
    with locked(folder / "networks"):  # a conversion takes much memory, so only one process converts
        content = _read(path)
        if content is None:
            content = convert()
            _write(path, content)
    _remove_unused(folder)
    return content


def _write(path: Path, content: bytes) -> None:
    try:
        with write_beside_then_rename(path) as part:
            part.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError as error:
        logger.warning("%s can't be written (%s): the network is converted at each start", path, error.strerror)


def _is_own(folder: Path) -> bool:
    """Makes the folder if it is not there. Whether only this user can write it: a file decides what is computed."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        logger.warning("%s can't be made (%s): the network is converted at each start", folder, error.strerror)
        return False
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
        return True
    logger.warning("%s is not a folder that only this user can write: the network is converted at each start", folder)
    return False


def _read(path: Path) -> bytes | None:
    """The content, if its digest is right; None otherwise."""
    try:
        stored = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() == digest:
        return content
    logger.warning("%s is damaged; the network is converted again", path)
    return None


def _remove_unused(folder: Path) -> None:
    before = time.time() - _UNUSED_SECONDS
    for path in folder.glob("*.tflite"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
