"""A process tells whether it is alive and ready: over HTTP, to systemd, and through `photochrom health`."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from scheduler.doctor.health_check import ask
from scheduler.standalone.services.service import free_port
from worker.errors import ServiceUnavailable, UsageError
from worker.observability.health import Health
from worker.observability.http_server import MetricsServer
from worker.settings.settings import Settings


@pytest.fixture
def health() -> Health:
    return Health("its model is loading")


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    port, registry = free_port(), CollectorRegistry()
    Gauge("plates", "Of glass.", registry=registry).set(12)
    with MetricsServer("127.0.0.1", port, registry, health):
        yield port


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_served(port: int) -> None:
    assert "plates 12.0" in get(port, "metrics")[1]
    assert get(port, "etc/passwd") == (404, "expected /metrics, /live or /ready\n")


def test_a_process_is_ready_only_while_its_loop_says_so(port: int, health: Health) -> None:
    assert get(port, "ready") == (503, "its model is loading\n")
    assert get(port, "live") == (200, "ok\n")
    health.turn("")
    assert get(port, "ready") == (200, "ok\n")
    health.turn("the database is away")
    assert get(port, "ready") == (503, "the database is away\n")


def test_a_process_whose_loop_hangs_is_not_alive() -> None:
    now = [0.0]
    health = Health("", silent_seconds=60, clock=lambda: now[0])
    now[0] = 61
    assert health.live() == health.ready() == "its main loop has not run for 61 s"
    health.turn()
    assert health.live() == ""


def test_health_asks_the_process_behind_the_port(port: int, health: Health) -> None:
    settings = Settings(metrics_port=port, metrics_address="0.0.0.0")
    assert ask(settings, "live") == "ok"
    with pytest.raises(ServiceUnavailable, match="is not ready: its model is loading"):
        ask(settings, "ready")
    with pytest.raises(ServiceUnavailable, match="nothing answers"):
        ask(Settings(metrics_port=9), "ready")
    with pytest.raises(UsageError, match="PHOTOCHROM_METRICS_PORT is not set"):
        ask(Settings(), "ready")


def test_a_port_that_is_taken_is_named(port: int, health: Health) -> None:
    with pytest.raises(UsageError, match=f"{port}.*PHOTOCHROM_METRICS_PORT, one port for each process"):
        MetricsServer("127.0.0.1", port, CollectorRegistry(), health)


def test_systemd_is_told_once_that_the_process_is_ready_and_always_that_it_lives(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        health = Health("loading", notify_socket=str(tmp_path / "notify"))
        for problem in ("loading", "", ""):
            health.turn(problem)
        said = [systemd.recv(1000).decode() for _ in range(3)]

    assert said == ["WATCHDOG=1\nSTATUS=loading", "WATCHDOG=1\nSTATUS=ready\nREADY=1", "WATCHDOG=1\nSTATUS=ready"]
