"""Limits for a child, which decodes files from outside: memory, processor time, size of a file; and its priority."""

import os
import resource
from contextlib import suppress
from pathlib import Path

_SESSION_PRIORITY = Path("/proc/self/autogroup")
_SPARE_BYTES = 8 << 30  # address space for threads, libraries and mapped files, in addition to the pixels


def limit_memory_and_files(*, in_flight_bytes: int, file_bytes: int) -> None:
    """From now on this process can't map much more memory than its scans need, write larger files, or dump core.

    If a decoder asks for more memory, its scan fails. Limits that are lower already stay.
    """
    _lower(resource.RLIMIT_AS, 4 * in_flight_bytes + _SPARE_BYTES)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_CORE, 0)  # a core would contain the secrets of the process


def limit_files(file_bytes: int) -> None:
    """From now on this process can't write larger files. A limit that is lower already stays."""
    _lower(resource.RLIMIT_FSIZE, file_bytes)


def limit_processor_seconds(seconds: float) -> None:
    """From now on this process is killed after this many more seconds of processor time, over all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    allowed = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed if hard == resource.RLIM_INFINITY else min(allowed, hard), hard))


def lower_priority(niceness: int) -> None:
    """Give way to other processes of this machine: 0 not at all, 19 as far as possible. It never raises a priority.

    Linux may divide processor time between sessions first, and then niceness counts only within a session (sched(7),
    "The autogroup feature"). So the session gets this niceness too, if this process leads it.
    """
    lowered = os.nice(max(0, niceness - os.nice(0)))
    if lowered > 0 and os.getsid(0) == os.getpid():
        with suppress(OSError):  # this kernel has no such feature
            _SESSION_PRIORITY.write_text(str(lowered), encoding="ascii")


def _lower(limit: int, value: int) -> None:
    soft, hard = resource.getrlimit(limit)
    lowest = min([value, *(old for old in (soft, hard) if old != resource.RLIM_INFINITY)])
    resource.setrlimit(limit, (lowest, hard))
