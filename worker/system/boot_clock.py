"""A clock that no pause stops and nobody sets."""

import time

# On Linux time.monotonic() is CLOCK_MONOTONIC, which stands still while the machine is suspended.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def boot_seconds() -> float:
    """Seconds since some moment in the past; a suspended machine and a changed date do not disturb it."""
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)
