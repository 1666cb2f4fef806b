"""A process that makes one thumbnail after the other, with limits for memory and time, because files may be hostile or
huge.

`python -m scheduler.report.thumbnails.child` reads a path in JSON from each line of its input. It answers with a line:
the picture, or a sentence that says why there is none. If a file breaks a limit, only this process ends.
"""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import pyvips

from scheduler.report.thumbnails.data_uri import thumbnail
from worker.errors import PhotochromError
from worker.scans import configure_libraries

MEMORY_BYTES = 384 << 20  # in addition to what the process has when it is ready
CPU_SECONDS = 15  # for each picture


def main() -> None:
    configure_libraries()
    _limit_memory()
    for line in sys.stdin:
        _limit_time()
        print(json.dumps(_answer(Path(json.loads(line)))), flush=True)


def _limit_memory() -> None:
    """Limit the process' address space."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit_bytes = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _answer(path: Path) -> dict[str, object]:
    try:
        return asdict(thumbnail(path))
    except PhotochromError as error:
        return {"error": error.message}
    except (pyvips.Error, MemoryError):
        return {"error": ""}


if __name__ == "__main__":
    main()
