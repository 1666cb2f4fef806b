"""A cache of files on disk, with a limit for the size of its folder."""

import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

_PART = "part-"


class DiskCache:
    """The file that was not used for the longest time is removed first.

    Several threads may use a cache, but only one process a folder.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(f"{_PART}*"):
            left.unlink(missing_ok=True)
        entries = [(entry.stat().st_mtime, entry.name, entry.stat().st_size) for entry in folder.iterdir()]
        for _, name, size in sorted(entries):
            self._sizes[name] = size
        self._shrink()

    @property
    def bytes(self) -> int:
        with self._lock:
            return sum(self._sizes.values())

    def get(self, name: str) -> Path | None:
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            with self._lock:
                self._sizes.pop(name, None)
            return None
        return path

    def new_part(self) -> Path:
        """A new file to write to before `put`."""
        handle, path = tempfile.mkstemp(prefix=_PART, dir=self._folder)
        os.close(handle)
        return Path(path)

    def put(self, name: str, part: Path) -> Path:
        """Add a completely written part under `name`. Others are removed until there is room."""
        path = self._folder / name
        size = part.stat().st_size
        part.replace(path)
        with self._lock:
            self._sizes[name] = size
            self._sizes.move_to_end(name)
        self._shrink()
        return path

    def _shrink(self) -> None:
        with self._lock:
            # The newest file stays even if it alone is too large, because somebody is going to read it now.
            while len(self._sizes) > 1 and sum(self._sizes.values()) > self._max_bytes:
                name, _ = self._sizes.popitem(last=False)
                (self._folder / name).unlink(missing_ok=True)
