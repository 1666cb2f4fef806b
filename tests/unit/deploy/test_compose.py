"""The compose files hold up to compose's own schema, and fit each other and the rest of deploy/."""

import subprocess
from pathlib import Path

from tests.unit.deploy.files import DEPLOY, MARGIN_SECONDS, documents, program, seconds

SERVICES = documents("compose.yml")[0]["services"]


def test_compose_takes_them() -> None:
    check = program("check-jsonschema")
    files = [str(DEPLOY / name) for name in ("compose.yml", "compose.gpu.yml")]

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
    for name in ("migrate", "scheduler", "web", "worker"):
        assert SERVICES[name]["read_only"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_what_is_mounted_is_there_and_every_image_has_a_version() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0] if isinstance(volume, str) else ""
            assert not source.startswith(".") or (DEPLOY / source).exists()
        assert not service["image"].endswith(":latest")
        assert ":" in Path(service["image"]).name


def test_prometheus_looks_where_the_processes_are() -> None:
    configs = documents("prometheus/prometheus.yml")[0]["scrape_configs"]
    asked = {(each["dns_sd_configs"][0]["names"][0], each["dns_sd_configs"][0]["port"]) for each in configs}
    assert asked == {("worker", 9808), ("scheduler", 9808), ("web", 9808)}
    assert {name for name, _ in asked} <= set(SERVICES)
    assert "PHOTOCHROM_METRICS_PORT=9808" in (DEPLOY / "Dockerfile").read_text("utf-8")
