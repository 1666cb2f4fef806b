"""Names of machines and processes, and whether a process is running."""

import os
import socket
import uuid
import zlib
from pathlib import Path


def machine_name() -> str:
    """The beginning of the names of all workers that see each other's process ids: one machine or one container.

    The host's name alone would not do: containers may share it and still each have a process 7.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, namespace = str(uuid.getnode()), ""
    return f"{socket.gethostname()}-{zlib.crc32((boot + namespace).encode()):08x}-"


def lives(holder: str) -> bool:
    """Whether a holder on this machine is still there. Wrongly true where its process id has been given away again."""
    return _process_lives(holder.rpartition("/")[2])


def worker_lives(holder: str) -> bool:
    """Whether the supervisor of a holder on this machine is still there."""
    return _process_lives(holder.rpartition("/")[0].rpartition("-")[2])


def _process_lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
