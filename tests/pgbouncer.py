"""A real PgBouncer in transaction mode: each transaction may use another connection to the tests' PostgreSQL."""

import os
import pwd
import re
from pathlib import Path
from typing import ClassVar

import psycopg
from sqlalchemy import make_url

from scheduler.standalone.services.service import Service
from tests.programs import Program
from tests.services import PostgreSQLServer

PGBOUNCER = Program(
    ("pgbouncer", "/usr/sbin/pgbouncer"),
    "--version",
    r"\APgBouncer (\d+\.\d+)",
    (1, 12),
    "install Debian's package pgbouncer",
)

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 1000
server_round_robin = 1
"""


class PgBouncer(Service):
    """Under root it runs as the user `nobody`, who must be able to enter `folder`."""

    name: ClassVar[str] = "PgBouncer"

    def __init__(self, folder: Path, server: PostgreSQLServer, *, connections: int = 4) -> None:
        super().__init__(folder)
        self._server, self._connections = server, connections

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database of the server, through this pooler."""
        return self._server.url(database).replace(f":{self._server.port}/", f":{self.port}/")

    def owner(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def prepare(self) -> list[str]:
        url = make_url(self._server.url("postgres"))
        users, configuration = self.folder / "users.txt", self.folder / "pgbouncer.ini"
        users.write_text(f'"{url.username}" "{url.password}"\n')
        numbers = {"server_port": self._server.port, "port": self.port, "connections": self._connections}
        configuration.write_text(_CONFIGURATION.format(users=users, **numbers))
        program = PGBOUNCER.path()
        assert program is not None
        for path in (self.folder, users, configuration):
            os.chown(path, *(self.owner() or (-1, -1)))
        return [program, str(configuration)]

    def ask(self) -> None:
        plain = re.sub(r"\+psycopg", "", self.url("postgres"))
        with psycopg.connect(plain, connect_timeout=5, prepare_threshold=None) as connection:
            connection.execute("SELECT 1")
