"""The machine that was measured, in words."""

import os
import platform
from pathlib import Path

from worker.extras import backend_package, installed_version
from worker.system.machine import available_cores, available_memory_bytes

_PACKAGES = ("photochrom", "celery", "pyvips", "numpy", "opencv-python-headless")


def described() -> dict[str, object]:
    """Processor, cores, memory, system, versions, and the load before the measurement."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": round(available_memory_bytes() / (1 << 30), 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in (*_PACKAGES, backend_package())},
        "load_before": round(os.getloadavg()[0], 2),  # running processes of other programs, on average
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
