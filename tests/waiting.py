"""How long a test waits for an event: longer than a busy machine needs, so that only a test that hangs fails."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def wait_until(condition: Callable[[], object], pause_seconds: float = 0.05) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"this did not come within {PATIENCE_SECONDS:.0f} seconds"
        time.sleep(pause_seconds)
