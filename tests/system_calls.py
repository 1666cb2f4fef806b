"""Runs a program under the system call filter of a systemd unit, without systemd: python -m tests.system_calls UNIT
PROGRAM ARGUMENTS.

A call that the filter refuses ends the process here, so that a test sees it.
"""

import ctypes
import ctypes.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.programs import SYSTEMD_ANALYZE

_ALLOW, _KILL = 0x7FFF0000, 0x80000000  # <seccomp.h>


def allowed_calls(unit: Path) -> set[str]:
    """The names of the calls that the unit's lines `SystemCallFilter=` allow."""
    allowed: set[str] = set()
    for line in unit.read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter":
            calls = {call for word in value.removeprefix("~").split() for call in _members(word)}
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def is_possible() -> bool:
    """Whether this machine has what the filter needs."""
    return SYSTEMD_ANALYZE.path() is not None and _library() is not None


def _members(word: str) -> Iterator[str]:
    if not word.startswith("@"):
        yield word
        return
    listed = subprocess.run(
        [SYSTEMD_ANALYZE.require(), "syscall-filter", word], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        entry = line.strip()
        if line.startswith(" ") and entry and not entry.startswith("#"):
            yield from _members(entry)


def _library() -> str | None:
    return ctypes.util.find_library("seccomp")


def _load(calls: set[str]) -> None:
    library = ctypes.CDLL(_library())
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = library.seccomp_init(_KILL)
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # otherwise it is a call of other processors
            assert library.seccomp_rule_add(rules, _ALLOW, number, 0) == 0, call
    assert library.seccomp_load(rules) == 0


if __name__ == "__main__":
    _load(allowed_calls(Path(sys.argv[1])))
    os.execv(sys.argv[2], sys.argv[2:])
