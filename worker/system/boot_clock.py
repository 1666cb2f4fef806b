"""A clock that suspending the machine does not stop and that nobody can set."""

import time

# On Linux time.monotonic() is CLOCK_MONOTONIC, which stands still while the machine is suspended.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def boot_seconds() -> float:
    """Seconds since some moment in the past.

    They also count while the machine is suspended, and don't depend on the date.
    """
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)
