"""Writes files completely or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """The block writes `path`. If it raises, the file is removed."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def write_beside_then_rename(path: Path, part: Path | None = None) -> Iterator[Path]:
    """The block writes the file that it is given; then that file is renamed to `path`, in one step.

    A reader sees the old file or the new one, never a part. If the block raises, the old file stays. `part`: the file
    to write, in the same folder; by default a name that no other process has.
    """
    part = part or path.with_name(f"part-{uuid.uuid4().hex[:8]}-{path.name}")
    with removed_on_failure(part):
        yield part
        part.replace(path)


def expect_room(path: Path, size: int) -> None:
    """Raises OSError if the disk has no room for a new file `path` of `size` bytes. No file is left there.

    For libraries that crash when the disk is full.
    """
    try:
        with path.open("xb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
    finally:
        path.unlink(missing_ok=True)
