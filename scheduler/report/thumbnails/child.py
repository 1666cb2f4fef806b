"""A process that makes one thumbnail after the other, with limits for memory and time, because files may be hostile or
huge.

`python -m scheduler.report.thumbnails.child` reads a path in JSON from each line of its input. It answers with a line:
the picture, or a sentence that says why there is none; and whether this process should be replaced before the next
picture. If a file breaks a limit, only this process ends.
"""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import pyvips

from scheduler.report.thumbnails.data_uri import FETCH_BYTES, thumbnail
from worker.errors import PhotochromError
from worker.scans import ScanLimits, configure_libraries
from worker.scans.reading.probe import probe

MEMORY_BYTES = 416 << 20  # for each picture, in addition to what the process has before it
FILE_BYTES = 1 << 30  # of a picture that has to be unpacked into a file
KEPT_BYTES = 48 << 20  # a process that keeps more of it after a picture is replaced before the next one
CPU_SECONDS = 15  # for each picture
LARGE_PIXELS = 8_000_000  # from here on a decoder may need more than MEMORY_BYTES: some 40 bytes a pixel
LARGE_OR_DAMAGED = (
    "The file exists, but a picture of it can't be made: it is damaged, or needs more memory than a report may use."
)


def main() -> None:
    configure_libraries()
    ready_bytes = _mapped_bytes()
    _limit_for_good(ready_bytes + KEPT_BYTES + MEMORY_BYTES)
    for line in sys.stdin:
        _limit_memory(_mapped_bytes() + MEMORY_BYTES)
        _limit_time()
        answer = _answer(Path(json.loads(line)))
        is_full = _mapped_bytes() > ready_bytes + KEPT_BYTES
        print(json.dumps({"answer": answer, "is_full": is_full}), flush=True)


def _mapped_bytes() -> int:
    """The process' address space."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _limit_for_good(address_space_bytes: int) -> None:
    """From now on, also if a decoder is taken over: so much memory, FILE_BYTES in a file, no core."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(address_space_bytes: int) -> None:
    """Until the next call, and at most the limit for good."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (min(address_space_bytes, hard), hard))


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _answer(path: Path) -> dict[str, object]:
    try:
        return asdict(thumbnail(path))
    except (PhotochromError, pyvips.Error, MemoryError, OSError) as error:
        if isinstance(error, OSError) or _is_large(path):
            # A decoder that gets no memory says the same as one whose file is damaged.
            return {"error": LARGE_OR_DAMAGED}
        return {"error": error.message if isinstance(error, PhotochromError) else ""}


def _is_large(path: Path) -> bool:
    """By its header."""
    try:
        header = probe(path, path.name, ScanLimits(FETCH_BYTES, 1 << 40))
    except (PhotochromError, pyvips.Error, MemoryError):
        return False
    return header.width * header.height >= LARGE_PIXELS


if __name__ == "__main__":
    main()
