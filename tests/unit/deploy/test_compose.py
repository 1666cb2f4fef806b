"""The compose files are valid by compose's own schema, and agree with each other and with the rest of deploy/."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.docker import SERVICES as IMAGES_OF_THE_TESTS
from tests.docker import compose
from tests.unit.deploy.files import DEPLOY, DIGEST, MARGIN_SECONDS, documents, program, seconds

SERVICES = documents("compose.yml")[0]["services"]
FILES = ("compose.yml", "compose.gpu.yml")


def resolved(**variables: str) -> dict[str, Any]:
    """The services as compose itself understands both files."""
    files = [part for name in FILES for part in ("--file", str(DEPLOY / name))]
    command = [compose(), "--env-file", os.devnull, *files, "config", "--format", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.defpath, **variables})
    return dict(json.loads(ran.stdout)["services"])


def test_compose_takes_them() -> None:
    check = program("check-jsonschema")
    files = [str(DEPLOY / name) for name in FILES]

    checked = subprocess.run([check, "--builtin-schema", "vendor.compose-spec", *files], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


def test_a_worker_has_time_to_drain() -> None:
    worker = SERVICES["worker"]
    drain = float(worker["environment"]["PHOTOCHROM_DRAIN_SECONDS"])
    assert seconds(worker["stop_grace_period"]) >= drain + MARGIN_SECONDS


def test_only_this_machine_is_let_in_and_nothing_of_ours_is_root() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    users = image_users()
    for name in ("migrate", "scheduler", "web", "worker"):
        service = SERVICES[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service.get("user", users[service["build"]["target"]]))
    assert users["gpu"] == users["cpu"]


def image_users() -> dict[str, str]:
    """The user of each stage of the Dockerfile that sets one."""
    stages = re.split(r"(?m)^FROM \S+ AS ", (DEPLOY / "Dockerfile").read_text("utf-8"))[1:]
    users = {stage.split()[0]: re.findall(r"(?m)^USER (\S+)$", stage) for stage in stages}
    return {name: lines[-1] for name, lines in users.items() if lines}


def test_every_mounted_file_and_volume_exists() -> None:
    sources = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)  # the others are volumes without a name
    ]
    files = {source for source in sources if source.startswith(".")}

    assert files
    assert all((DEPLOY / source).exists() for source in files)
    assert set(sources) - files == set(documents("compose.yml")[0]["volumes"])


def test_every_image_has_a_version() -> None:
    images = {service["image"] for service in resolved().values()}

    assert images >= {"photochrom:cpu", "photochrom:gpu", *IMAGES_OF_THE_TESTS}
    for image in images:
        assert ":" in Path(image).name
        assert not image.endswith(":latest")


def test_every_image_can_be_pinned_by_its_digest() -> None:
    text = "".join((DEPLOY / name).read_text("utf-8") for name in FILES)
    variables = re.findall(r"\$\{(\w+_IMAGE):-", text)
    services = resolved(**{name: f"registry.example.org/{name.lower()}{DIGEST}" for name in variables})

    assert "PYTHON_IMAGE" in variables
    for service in services.values():
        assert service["image"].endswith(DIGEST)
        assert "build" not in service or service["build"]["args"]["BASE"].endswith(DIGEST)


def test_prometheus_looks_where_the_processes_are() -> None:
    configs = documents("prometheus/prometheus.yml")[0]["scrape_configs"]
    asked = {(each["dns_sd_configs"][0]["names"][0], each["dns_sd_configs"][0]["port"]) for each in configs}
    assert asked == {("worker", 9808), ("scheduler", 9808), ("web", 9808)}
    assert {name for name, _ in asked} <= set(SERVICES)
    assert "PHOTOCHROM_METRICS_PORT=9808" in (DEPLOY / "Dockerfile").read_text("utf-8")
