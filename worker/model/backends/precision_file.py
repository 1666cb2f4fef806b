"""Stores the precision of a machine. It is chosen once, because a measurement at each start would depend on the load.

The file is beside the scratch folders. The choice is made again if the processor, the device, the backend, its
environment variables or the checkpoint changes, or the file is removed.
"""

import fcntl
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast, get_args

import keras

from worker.extras import installed_version
from worker.model.backends.loading import computing_variables
from worker.model.backends.precision import Precision, choices
from worker.system.whole_files import write_beside_then_rename

logger = logging.getLogger(__name__)

# A measurement takes seconds, on a slow machine a minute or two. A process that holds the lock for longer hangs.
_WAIT_SECONDS = 300.0
_PAUSE_SECONDS = 0.2


def machine_key(device: str, checkpoint_id: str) -> str:
    """What the choice depends on. With another key, it is made again."""
    backend = keras.backend.backend()
    variables = "".join(f" / {variable}" for variable in computing_variables())
    among = ", ".join(choices())
    return (
        f"{_processor()} / {device} / {backend} {_version(backend)} / checkpoint {checkpoint_id}{variables} / {among}"
    )


def decided(path: Path, key: str, measure: Callable[[], Precision]) -> Precision:
    """The precision in the file `path` for `key`. If there is none, it is measured and stored.

    Processes that start at the same time decide one after the other, so that they decide the same and keep each other's
    keys. If one of them hangs, the others measure without it. If the file can't be read or written, the log says so,
    and each start measures.
    """
    with locked(path):
        kept = _read(path)
        if kept.get(key) in get_args(Precision):
            return cast("Precision", kept[key])
        precision = measure()
        try:
            _write(path, {**kept, key: precision})
        except OSError as error:
            logger.warning("%s can't be written (%s): precision is measured at each start", path, error.strerror)
        return precision


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for other processes that make `path`, but not for ever. Without a lock, if the folder can't be written or
    has no locks.

    The lock is on a file of its own, because the file with the choices is replaced when it is written. The system
    releases it when the process ends.
    """
    try:
        lock = path.with_name(f"{path.name}.lock").open("w")
    except OSError:
        yield
        return
    with lock:
        if not _is_locked(lock):
            logger.info("another process prepares %s; waiting for it", lock.name)
            _wait_for(lock)
        yield


def _wait_for(lock: IO[str]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
        if _is_locked(lock):
            return
    logger.warning("%s was locked for %.0f s; going on without the lock", lock.name, _WAIT_SECONDS)


def _is_locked(lock: IO[str]) -> bool:
    """Whether this process has the lock now, or the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: dict[str, str]) -> None:
    with write_beside_then_rename(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    """The processor's name, and a digest of its features, because virtual machines with the same name may differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return platform.processor() or platform.machine()
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = values.get("flags", values.get("Features", ""))
    return f"{values.get('model name', platform.machine())} {hashlib.sha256(flags.encode()).hexdigest()[:8]}"


def _version(backend: str) -> str:
    return installed_version(backend)
