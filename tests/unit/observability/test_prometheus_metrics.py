"""The metrics of a worker and a scheduler; docs/metrics.md explains each of them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from db.models.schedules import Firing, FiringState
from scheduler.daemon.metrics import SchedulerMetrics
from scheduler.web.metrics import WebMetrics
from tests.scheduler_metrics import scheduler_metrics
from worker.observability.last_minute import Statistics
from worker.observability.scan_events import ScanEvent, ScanEventListener, send
from worker.observability.worker_metrics import WorkerMetrics

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
DONE = ScanEvent("done", "", 2_000_000, 1000, 3000, (10.0, 20.0, 30.0, 40.0, 50.0, 60.0))
FAILED = ScanEvent("failed", "truncated", 0, 500, 0, (10.0, None, None, None, None, None))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def counters(**changed: float) -> dict[str, float]:
    return {
        "batches": 0,
        "scans": 0,
        "failed": 0,
        "batch_size": 8,
        "busy_seconds": 0.0,
        "places": 0,
        "queue_length": 0,
    } | changed


def test_scans_are_counted_by_state_code_and_stage() -> None:
    metrics = WorkerMetrics()

    for event in (DONE, DONE, FAILED):
        metrics.count(event)

    assert sample(metrics.registry, "photochrom_scans_total", state="done") == 2
    assert sample(metrics.registry, "photochrom_scan_errors_total", code="truncated") == 1
    assert sample(metrics.registry, "photochrom_pixels_total") == 4_000_000
    assert sample(metrics.registry, "photochrom_stage_seconds_sum", stage="store") == pytest.approx(0.12)
    assert sample(metrics.registry, "photochrom_stage_seconds_count", stage="fetch") == 3


def test_rates_are_those_of_the_last_minute() -> None:
    clock = Clock()
    statistics = Statistics(WorkerMetrics(), clock=clock)
    for _ in range(20):  # a scan every five seconds
        clock.now += 5
        statistics.count(DONE)
        columns = statistics.columns()

    assert columns["ended_scans"] == 20
    assert columns["scans_per_second"] == pytest.approx(0.2)
    assert columns["megapixels_per_second"] == pytest.approx(0.4)
    assert (columns["fetch_ms"], columns["store_ms"]) == (10.0, 60.0)
    clock.now += 300
    statistics.columns()
    clock.now += 60
    assert statistics.columns()["scans_per_second"] == 0


def test_the_device_s_share_and_fill_are_of_what_its_counters_have_grown() -> None:
    clock, metrics = Clock(), WorkerMetrics()
    statistics = Statistics(metrics, clock=clock)
    statistics.ask_model(lambda: counters(batches=10, scans=60, places=80, busy_seconds=20.0))
    clock.now += 40
    statistics.ask_model(lambda: counters(batches=11, scans=68, places=88, busy_seconds=30.0, queue_length=3))

    assert sample(metrics.registry, "photochrom_batched_scans_total") == 68
    columns = statistics.columns()
    assert columns["device_busy_share"] == pytest.approx(30 / 40)
    assert columns["batch_fill"] == pytest.approx(68 / 88)
    assert columns["model_queue_length"] == 3


def test_a_model_server_that_is_silent_is_down() -> None:
    metrics = WorkerMetrics()

    with pytest.raises(ZeroDivisionError):
        Statistics(metrics).ask_model(lambda: {"batches": 1 / 0})

    assert sample(metrics.registry, "photochrom_model_server_up") == 0


def test_children_report_to_their_worker_and_continue_when_it_is_gone(tmp_path: Path) -> None:
    told: list[ScanEvent] = []
    with ScanEventListener(tmp_path / "s", told.append):
        send(tmp_path / "s", [DONE, FAILED] * 300)
        send(tmp_path / "s", [])

    assert told == [DONE, FAILED] * 300
    send(tmp_path / "s", [DONE])
    assert len(told) == 600


def test_a_schedule_has_one_series_that_says_what_its_latest_firing_came_to() -> None:
    metrics, name = SchedulerMetrics(), "photochrom_schedule_fired_timestamp_seconds"
    at = datetime(2026, 3, 28, tzinfo=UTC)
    metrics.show_schedules({"plates": Firing(state=FiringState.FAILED, fired_at=at)}, {})
    assert sample(metrics.registry, name, schedule="plates", state="failed") == at.timestamp()

    metrics.show_schedules({"plates": Firing(state=FiringState.SUBMITTED, fired_at=at)}, {})
    assert sample(metrics.registry, name, schedule="plates", state="failed") is None
    assert sample(metrics.registry, name, schedule="plates", state="submitted") == at.timestamp()

    metrics.show_schedules({}, {})
    assert sample(metrics.registry, name, schedule="plates", state="submitted") is None


def test_an_enabled_schedule_has_a_series_that_says_since_when_it_is_due() -> None:
    metrics, name = SchedulerMetrics(), "photochrom_schedule_due_timestamp_seconds"
    night = datetime(2026, 3, 28, tzinfo=UTC)
    metrics.show_schedules({}, {"plates": night})
    assert sample(metrics.registry, name, schedule="plates") == night.timestamp()

    metrics.show_schedules({}, {})
    assert sample(metrics.registry, name, schedule="plates") is None


def test_every_metric_is_explained_and_nothing_else() -> None:
    exposed = {}
    for registry in (WorkerMetrics().registry, scheduler_metrics().registry, WebMetrics().registry):
        for line in generate_latest(registry).decode().splitlines():
            if line.startswith("# HELP photochrom_"):
                _, _, name, said = line.split(" ", 3)
                exposed[name] = said

    explained = dict(
        re.findall(r"^\| `(photochrom_\w+)[^|]*\| \w+ \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    )

    assert explained == exposed
