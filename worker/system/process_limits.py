"""Limits for a child, which decodes files from outside: memory, processor time, size of a file."""

import resource

_SPARE_BYTES = 8 << 30  # address space for threads, libraries and mapped files, in addition to the pixels


def limit_memory_and_files(*, in_flight_bytes: int, file_bytes: int) -> None:
    """From now on this process can't map much more memory than its scans need, write larger files, or dump core.

    If a decoder asks for more memory, its scan fails. Limits that are lower already stay.
    """
    _lower(resource.RLIMIT_AS, 4 * in_flight_bytes + _SPARE_BYTES)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_CORE, 0)  # a core would contain the secrets of the process


def limit_processor_seconds(seconds: float) -> None:
    """From now on this process is killed after this many more seconds of processor time, over all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    allowed = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed if hard == resource.RLIM_INFINITY else min(allowed, hard), hard))


def _lower(limit: int, value: int) -> None:
    soft, hard = resource.getrlimit(limit)
    lowest = min([value, *(old for old in (soft, hard) if old != resource.RLIM_INFINITY)])
    resource.setrlimit(limit, (lowest, hard))
