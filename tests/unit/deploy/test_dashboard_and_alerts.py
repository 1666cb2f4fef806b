"""Prometheus accepts the configuration and the rules, alerts fire when they should, and queries use real metrics."""

import json
import re
import subprocess
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from tests.programs import PROMTOOL
from tests.prometheus import dashboard_queries, documented_queries
from tests.scheduler_metrics import scheduler_metrics
from tests.unit.deploy.files import DEPLOY, documents
from worker.observability.worker_metrics import WorkerMetrics

DASHBOARD = json.loads((DEPLOY / "grafana" / "photochrom.json").read_text("utf-8"))
RULES = [rule for group in documents("prometheus/alerts.yml")[0]["groups"] for rule in group["rules"]]
QUERIES = dashboard_queries()


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run([PROMTOOL.require(), *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def exposed() -> set[str]:
    scheduler = scheduler_metrics()
    worker = WorkerMetrics()
    text = (generate_latest(worker.registry) + generate_latest(scheduler.registry)).decode()
    described = set(re.findall(r"(?m)^# TYPE (\S+)", text))
    return described | set(re.findall(r"(?m)^(photochrom_\w+)", text))


def test_prometheus_takes_configuration_rules_and_queries_and_alerts_go_off_when_they_should(tmp_path: Path) -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "prometheus.yml")
    promtool("test", "rules", DEPLOY / "prometheus" / "alerts.test.yml")
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(QUERIES + documented_queries())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", tmp_path / "rules.yml")


def test_every_alert_is_tried_and_says_what_to_do() -> None:
    tried = (DEPLOY / "prometheus" / "alerts.test.yml").read_text("utf-8")
    for rule in RULES:
        assert rule["alert"] in tried
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_and_the_page_have_queries() -> None:
    assert len(QUERIES) > 15
    assert len(documented_queries()) == 7


def test_every_query_uses_existing_metrics() -> None:
    asked = {name for query in QUERIES + documented_queries() for name in re.findall(r"photochrom_\w+", query)}
    asked |= {name for rule in RULES for name in re.findall(r"photochrom_\w+", rule["expr"])}
    assert asked <= exposed()


def test_panels_have_titles_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
