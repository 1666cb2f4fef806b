"""What this process may use of its machine, and of its container."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def machine_cores() -> float:
    """Those that the scheduler of the system may run this process on."""
    return float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)


def available_cores(cgroup: Path = _CGROUP) -> float:
    """The same, and no more than the container's quota: 1.5 where it may use one core and a half."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    count = machine_cores()
    return min(count, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else count


def whole_cores(cgroup: Path = _CGROUP) -> int:
    """For numbers of processes and threads: rounded up, at least one."""
    return max(1, math.ceil(available_cores(cgroup)))


def thread_variables(cgroup: Path = _CGROUP) -> dict[str, str]:
    """The environment with which TensorFlow uses as many threads as its container has cores; it reads no quota itself.

    Empty where the quota is no smaller than the machine.
    """
    if available_cores(cgroup) >= machine_cores():
        return {}
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(whole_cores(cgroup)))


def available_memory_bytes(cgroup: Path = _CGROUP) -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(cgroup / "memory.max")
    return min(machine, int(limit)) if limit.isdigit() else machine


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
