"""The pages of a system on one machine, for `--web` of `demo` and `run`."""

import time

from scheduler.standalone.services.service import free_port
from scheduler.standalone.system import System

_LOOK_SECONDS = 0.5


def start_pages(system: System) -> str:
    """Start `photochrom web` on a free port of this machine; returns the pages' address."""
    port = free_port()
    system.start("web", settings={"PHOTOCHROM_WEB_PORT": str(port), "PHOTOCHROM_WEB_ADDRESS": "127.0.0.1"})
    return f"http://127.0.0.1:{port}"


def stay_open(system: System) -> None:
    """Wait until Ctrl-C, which raises KeyboardInterrupt. Raises as System.check."""
    while True:
        system.check()
        time.sleep(_LOOK_SECONDS)
