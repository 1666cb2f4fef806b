"""What a child may take at most, and what it must not find in its environment."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from worker.errors import UsageError
from worker.settings import settings as settings_module
from worker.settings.settings import Settings, secret_variables, without_secrets
from worker.system.mounts import Mount, network_share


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_decoder_that_asks_for_all_memory_gets_none() -> None:
    code = (
        "from worker.system.process_limits import limit_memory_and_files\n"
        "limit_memory_and_files(in_flight_bytes=1 << 20, file_bytes=1 << 20)\n"
        "try: bytearray(64 << 30)\n"
        "except MemoryError: print('refused')"
    )

    assert run(code).stdout == "refused\n"


def test_a_file_that_grows_without_end_is_cut(tmp_path: Path) -> None:
    code = (
        "from worker.system.process_limits import limit_memory_and_files\n"
        "limit_memory_and_files(in_flight_bytes=1 << 20, file_bytes=1 << 20)\n"
        f"file = open({str(tmp_path / 'output')!r}, 'wb', buffering=0)\n"
        "try:\n    while True: file.write(bytes(1 << 18))\n"
        "except OSError as error: print(error.strerror)"
    )

    assert run(code).stdout == "File too large\n"
    assert (tmp_path / "output").stat().st_size == 1 << 20


def test_a_decoder_that_runs_in_circles_is_ended() -> None:
    code = (
        "from worker.system.process_limits import limit_processor_seconds\n"
        "limit_processor_seconds(3600); limit_processor_seconds(0.2)\n"
        "while True: pass"
    )

    assert run(code).returncode < 0


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no groups by session")
@pytest.mark.parametrize("leads", [True, False])
def test_a_low_priority_counts_among_sessions_too(leads: bool) -> None:
    code = (
        "import os, pathlib\n"
        f"if {leads}: os.setsid()\n"
        "def of_session():\n"
        "    group = pathlib.Path('/proc/self/autogroup').read_text().split()  # empty: in no group\n"
        "    return int(group[-1]) if group else 0\n"
        "before = of_session()\n"
        "from worker.system.process_limits import lower_priority\n"
        "lower_priority(7); lower_priority(3)\n"
        "print(os.nice(0), of_session() - before)"
    )

    assert run(code).stdout == ("7 7\n" if leads else "7 0\n")


def test_the_model_server_is_started_without_secrets() -> None:
    environment = {
        "PHOTOCHROM_DATABASE_URL": "x",
        "PHOTOCHROM_BROKER_URL": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PATH": "y",
    }

    assert {"PHOTOCHROM_DATABASE_URL", "PHOTOCHROM_BROKER_URL"} <= set(secret_variables())
    assert without_secrets(environment) == {"PATH": "y"}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{}/photochrom.db",
        "sqlite+pysqlite:///{}/photochrom.db",
        "sqlite+pysqlite:///{}/photochrom.db?timeout=9",
        "sqlite:///file:{}/photochrom.db?uri=true",
        "sqlite:///file://{}/photochrom%2Edb?mode=rwc&uri=true",
        "sqlite:///file://localhost{}/photochrom.db?uri=true",
    ],
)
def test_sqlite_on_a_network_share_is_refused(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = [Mount("8:1", Path("/"), Path("/"), "ext4"), Mount("0:50", Path("/"), tmp_path, "nfs4")]
    assert network_share(Path("/var/photochrom.db"), mounts) is None
    monkeypatch.setattr(settings_module, "network_share", lambda path: network_share(path, mounts))

    with pytest.raises(UsageError, match="on a network share"):
        Settings(database_url=SecretStr(url.format(tmp_path))).database  # noqa: B018 - it raises


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://me@host/nas/photochrom.db"])
def test_a_database_without_a_file_is_on_no_share(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "network_share", lambda _: "nfs4")

    assert Settings(database_url=SecretStr(url)).database == url


@pytest.mark.parametrize(
    "kind", ["nfs4", "virtiofs", "vboxsf", "gpfs", "beegfs", "davfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.blobfuse2"]
)
def test_file_systems_of_other_machines_are_network_shares(kind: str, tmp_path: Path) -> None:
    assert network_share(tmp_path, [Mount("0:50", Path("/"), tmp_path, kind)]) == kind


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "fuse.mergerfs"])
def test_disks_of_this_machine_are_no_network_shares(kind: str, tmp_path: Path) -> None:
    assert network_share(tmp_path, [Mount("8:1", Path("/"), tmp_path, kind)]) is None
