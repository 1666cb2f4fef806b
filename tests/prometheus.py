"""Debian's Prometheus with the project's own configuration, alert rules and dashboard."""

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from scheduler.standalone.services.service import Service
from tests.programs import PROMETHEUS
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def dashboard_queries() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "photochrom.json").read_text("utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def documented_queries() -> list[str]:
    """The queries for sizing a pool in docs/metrics.md."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    sizing = page.partition("## To size a pool")[2].partition("## Live")[0]
    return re.findall(r"(?m)^\|[^|]*\| `([^`]+)`[^|]*\|$", sizing)


class PrometheusServer(Service):
    """Prometheus with deploy/prometheus/prometheus.yml, except for the addresses of the targets and the intervals."""

    name: ClassVar[str] = "Prometheus"

    def __init__(self, folder: Path, targets: Mapping[str, int]) -> None:
        """targets: the ports on 127.0.0.1 of `scheduler` and `worker`."""
        super().__init__(folder)
        self._targets = targets

    def prepare(self) -> list[str]:
        configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in configuration["rule_files"]]
        for scraped in configuration["scrape_configs"]:
            [found] = scraped.pop("dns_sd_configs")
            ports = [self._targets[name] for name in found["names"] if name in self._targets]
            scraped["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        return [
            PROMETHEUS.require(),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def ask(self) -> None:
        self._get("-/ready")

    def query(self, expression: str) -> list[Any]:
        """The current samples of an expression."""
        return list(
            json.loads(self._get(f"api/v1/query?{urllib.parse.urlencode({'query': expression})}"))["data"]["result"]
        )

    def rules(self) -> list[dict[str, Any]]:
        groups = json.loads(self._get("api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for(self, expression: str, pause_seconds: float = 0.3) -> list[Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"no series for {expression}"
            time.sleep(pause_seconds)
        return found

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
            return bytes(answer.read())
