"""Which cores and how much memory this process may use, on its machine and in its container."""

import math
import os
from pathlib import Path

CHILD_BYTES = 250_000_000  # of one child with small scans in hand: see docs/performance.md
_CGROUP = Path("/sys/fs/cgroup")


def machine_cores() -> float:
    """The number of cores on which the system may run this process."""
    return float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)


def available_cores(cgroup: Path = _CGROUP) -> float:
    """The same, limited by the container's quota: 1.5 if it may use one and a half cores."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    count = machine_cores()
    return min(count, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else count


def whole_cores(cgroup: Path = _CGROUP) -> int:
    """The number of cores for choosing numbers of processes and threads: rounded up, at least one."""
    return max(1, math.ceil(available_cores(cgroup)))


def thread_variables(cgroup: Path = _CGROUP) -> dict[str, str]:
    """Environment variables that let TensorFlow use as many threads as its container has cores, because it reads no
    quota itself.

    Empty if there is no quota below the machine's cores.
    """
    if available_cores(cgroup) >= machine_cores():
        return {}
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(whole_cores(cgroup)))


def available_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """The machine's memory, limited by the container's: of cgroup version 2 or version 1."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_read(cgroup / "memory.max"), _read(cgroup / "memory" / "memory.limit_in_bytes")]
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])


def fitting_children(cgroup: Path = _CGROUP) -> int:
    """As many children as cores; fewer if they would take more than a quarter of the memory. At least one.

    Their scans may take half of it, and model servers take the rest.
    """
    return max(1, min(whole_cores(cgroup), available_memory_bytes(cgroup) // 4 // CHILD_BYTES))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
