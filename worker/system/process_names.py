"""Names of machines and processes, and whether a process is running."""

import os
import socket
import uuid
import zlib
from pathlib import Path

_ENDED = "ZX"  # the states of an ended process in /proc/PID/stat


def machine_name() -> str:
    """The prefix of the names of all workers that see the same process ids, on one machine or in one container.

    The host's name alone is not enough, because containers may share it and each have a process 7.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, namespace = str(uuid.getnode()), ""
    return f"{socket.gethostname()}-{zlib.crc32((boot + namespace).encode()):08x}-"


def lives(holder: str) -> bool:
    """Whether a holder on this machine is still running. Wrongly true if another process has got its process id."""
    return _process_lives(holder.rpartition("/")[2])


def worker_lives(holder: str) -> bool:
    """Whether the supervisor of a holder on this machine is still running."""
    return _process_lives(holder.rpartition("/")[0].rpartition("-")[2])


def group_lives(group: int) -> bool:
    """Whether any process of a process group is still running."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # Ended processes stay in the list until their parent reads their status, which a container's first process may
    # never do.
    states = [state for pid in _numbered(Path("/proc")) if (state := _state(pid)) and state[1] == group]
    return not states or any(letter not in _ENDED for letter, _ in states)


def _process_lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    state = _state(pid)
    return state is None or state[0] not in _ENDED


def _numbered(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _state(pid: str) -> tuple[str, int] | None:
    """The letter of a process' state, and its process group; None if the system does not say."""
    try:
        fields = Path("/proc", pid, "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[2])
