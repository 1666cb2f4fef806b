"""TLS and passwords by settings alone: Valkey, S3 and PostgreSQL, with certificates that are made for the test.

The wheels' Valkey and PostgreSQL are built without TLS. In front of them, a proxy with the certificate speaks TLS as
the server itself would, so the client's side is the real one. rclone serves S3 over TLS itself.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from db.errors import DatabaseUnavailable
from db.queries.chunks.claims import ChunkMessage
from db.session import make_engine, read_scope
from scheduler.standalone.services import S3Server, ValkeyServer
from tests.services import PostgreSQLServer
from worker.broker.app_factory import make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import ServiceUnavailable, UsageError
from worker.settings.settings import Settings
from worker.storage import S3Options, open_storage, parse_location

SSL_REQUEST = struct.pack(
    "!II", 8, 80877103
)  # PostgreSQL's: https://www.postgresql.org/docs/current/protocol-flow.html


class Certificates:
    """The files of a certificate authority, and of the certificate that it issued for `host`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        folder.mkdir(exist_ok=True)
        made = trustme.CA()
        self.authority, self.certificate, self.key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        made.cert_pem.write_to_path(self.authority)
        given = made.issue_cert(host)
        given.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in given.cert_chain_pems))


@pytest.fixture
def trusted(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "trusted")


@pytest.fixture
def strange(tmp_path: Path) -> Certificates:
    """Another authority, which did not issue the server's certificate."""
    return Certificates(tmp_path / "strange")


@pytest.fixture
def misnamed(tmp_path: Path) -> Certificates:
    """A certificate for another host."""
    return Certificates(tmp_path / "misnamed", "elsewhere.example")


def queue(port: int, password: str, authority: Path | None) -> ChunkQueue:
    url = f"rediss://:{password}@127.0.0.1:{port}/0"
    settings = Settings(broker_url=SecretStr(f"{url}?ssl_ca_certs={authority}" if authority else url))
    return ChunkQueue(make_app(settings, answer_seconds=3))


def password_of(server: ValkeyServer) -> str:
    return server.url.partition("@")[0].rpartition(":")[2]


def test_the_broker_is_used_over_tls_by_who_trusts_its_authority(valkey: ValkeyServer, trusted: Certificates) -> None:
    with tls_before(valkey.port, trusted) as port:
        bell = queue(port, password_of(valkey), trusted.authority)
        bell.publish([ChunkMessage(1, 1)])
        assert bell.depth() == 1


def test_a_broker_is_refused_that_is_another_s_or_wants_another_password(
    valkey: ValkeyServer, trusted: Certificates, strange: Certificates, misnamed: Certificates
) -> None:
    with tls_before(valkey.port, trusted) as port, tls_before(valkey.port, misnamed) as other:
        refused = [
            ("(?i)certificate", queue(port, password_of(valkey), strange.authority)),
            ("(?i)certificate", queue(port, password_of(valkey), None)),
            ("(?i)certificate", queue(other, password_of(valkey), misnamed.authority)),
            ("(?i)password", queue(port, "hunter2", trusted.authority)),
        ]
        for reason, bell in refused:
            with pytest.raises(ServiceUnavailable, match=reason) as failed:
                bell.depth()
            assert "hunter2" not in failed.value.message


class TlsS3(S3Server):
    def __init__(self, folder: Path, certificates: Certificates) -> None:
        super().__init__(folder)
        self.certificates = certificates

    @property
    def endpoint_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def prepare(self) -> list[str]:
        own = self.certificates
        return [*super().prepare(), f"--cert={own.certificate}", f"--key={own.key}"]


def test_s3_is_used_over_https_with_an_authority_of_one_s_own(
    tmp_path: Path,
    trusted: Certificates,
    strange: Certificates,
    misnamed: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted.authority))
    with TlsS3(tmp_path / "s3", trusted) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.client().create_bucket(Bucket="plates")
        options = S3Options(endpoint_url=server.endpoint_url, attempts=1, timeout_seconds=5)
        location = parse_location("s3://plates/in")
        (tmp_path / "scan").write_bytes(b"scan")
        storage = open_storage(location, s3=options)
        storage.store(tmp_path / "scan", "a.png", content_type="image/png")
        assert [found.key for found in storage.list()] == ["a.png"]

        monkeypatch.setenv("AWS_CA_BUNDLE", str(strange.authority))
        with pytest.raises(ServiceUnavailable, match="SSL"):
            open_storage(location, s3=options).check()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted.authority))
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        with pytest.raises(UsageError, match="credentials"):
            open_storage(location, s3=options).check()


def test_s3_is_refused_whose_certificate_is_for_another_host(
    tmp_path: Path, misnamed: Certificates, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(misnamed.authority))
    with tls_before(s3_server.port, misnamed) as port:
        options = S3Options(endpoint_url=f"https://127.0.0.1:{port}", attempts=1, timeout_seconds=5)
        with pytest.raises(ServiceUnavailable, match="SSL"):
            open_storage(parse_location("s3://plates/in"), s3=options).check()


@contextmanager
def tls_before(server_port: int, certificates: Certificates, *, postgresql: bool = False) -> Iterator[int]:
    """A port that speaks TLS, in front of a server on this machine that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", server_port)) as server:
            if postgresql:
                assert client.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
                client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as secured:
                threading.Thread(target=pump, args=(server, secured), daemon=True).start()
                pump(secured, server)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def tls_url(url: str, server: PostgreSQLServer, port: int, authority: Path) -> str:
    return f"{url.replace(f':{server.port}/', f':{port}/')}?sslmode=verify-full&sslrootcert={authority}"


def test_postgresql_is_used_over_tls_by_who_trusts_its_authority(
    postgresql_server: PostgreSQLServer, postgresql_url: str, trusted: Certificates
) -> None:
    with tls_before(postgresql_server.port, trusted, postgresql=True) as port:
        engine = make_engine(tls_url(postgresql_url, postgresql_server, port, trusted.authority))
        with read_scope(engine) as session:
            connection = session.connection().connection.driver_connection
            assert connection is not None
            assert connection.pgconn.ssl_in_use
        engine.dispose()


def test_a_postgresql_is_refused_that_is_another_s_or_has_no_tls(
    postgresql_server: PostgreSQLServer,
    postgresql_url: str,
    trusted: Certificates,
    strange: Certificates,
    misnamed: Certificates,
) -> None:
    with (
        tls_before(postgresql_server.port, trusted, postgresql=True) as port,
        tls_before(postgresql_server.port, misnamed, postgresql=True) as other,
    ):
        refused = {
            "certificate verify failed": tls_url(postgresql_url, postgresql_server, port, strange.authority),
            "elsewhere.example": tls_url(postgresql_url, postgresql_server, other, misnamed.authority),
            "does not support SSL": tls_url(
                postgresql_url, postgresql_server, postgresql_server.port, trusted.authority
            ),
            "password authentication failed": tls_url(
                postgresql_url.replace("postgres:", "postgres:hunter2"), postgresql_server, port, trusted.authority
            ),
        }
        for reason, url in refused.items():
            with pytest.raises(DatabaseUnavailable, match=reason) as failed, read_scope(make_engine(url)) as session:
                session.connection()
            assert "hunter2" not in failed.value.message
