"""Machines for one test: network namespaces that reach each other's services only through their addresses.

Each machine has its own hostname, loopback, home and temporary folder. A cable connects it to this machine, and
`Forwarder` offers the services of the tests at this machine's end of the cable.
"""

import os
import random
import socket
import subprocess
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from tests.programs import IPROUTE, UNSHARE


def can_make_machines() -> bool:
    """Whether the tests run as root on Linux with iproute2, and the kernel allows network namespaces."""
    if os.geteuid() != 0 or IPROUTE.path() is None or UNSHARE.path() is None:
        return False
    name = f"photochrom-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return made


class Machine:
    """A context manager. A command after `prefix` runs there; it reaches this machine at the address `gateway`."""

    def __init__(self, hostname: str, folder: Path) -> None:
        self.hostname, self.folder = hostname, folder
        self._namespace = f"photochrom-{os.getpid()}-{hostname}"
        # A /30 network holds the two ends of a cable. One of the 16,000 in 10.213.0.0/16 is chosen at random.
        self._network = random.randrange(0, 1 << 16, 4)
        self._cable = f"ph{self._network:05}"
        self._open = ExitStack()

    @property
    def gateway(self) -> str:
        return self._address(1)

    @property
    def prefix(self) -> list[str]:
        # Each of these programs replaces itself with the next one, so that a signal reaches the command itself.
        named = ["sh", "-c", f'hostname {self.hostname} && exec "$@"', "sh"]
        return ["ip", "netns", "exec", self._namespace, "unshare", "--uts", *named]

    def environment(self) -> dict[str, str]:
        for name in ("home", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        return {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            _ip("netns", "add", self._namespace)
            opening.callback(_ip, "netns", "delete", self._namespace)
            _ip("link", "add", self._cable, "type", "veth", "peer", "name", "cable", "netns", self._namespace)
            _ip("address", "add", f"{self.gateway}/30", "dev", self._cable)
            _ip("link", "set", self._cable, "up")
            _ip("-netns", self._namespace, "address", "add", f"{self._address(2)}/30", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-netns", self._namespace, "link", "set", device, "up")
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _address(self, number: int) -> str:
        own = self._network + number
        return f"10.213.{own >> 8}.{own & 255}"


class Forwarder:
    """A context manager that forwards connections to `address`:`port` to 127.0.0.1:`port`."""

    def __init__(self, address: str, port: int) -> None:
        self._port = port
        self._listener = socket.create_server((address, port), backlog=128)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                service = socket.create_connection(("127.0.0.1", self._port))
                for source, sink in ((caller, service), (service, caller)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            sink.sendall(block)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
