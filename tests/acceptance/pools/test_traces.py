"""Traces from end to end: a receiver of OTLP gets one trace from the scheduler's message to a scan's stages."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from scheduler.standalone.services import ValkeyServer
from tests.waiting import wait_until

SCANS = 4
STAGES = {"fetch", "open", "predict", "compose", "store"}


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes


@dataclass
class Receiver:
    """Takes spans as a collector does, over HTTP in protobuf."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            [service] = [pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(Span(service, span.name, span.trace_id, span.span_id, span.parent_span_id))

    def by_id(self) -> dict[bytes, Span]:
        return {span.span_id: span for span in list(self.spans)}

    def named(self, name: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name == name]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(valkey: ValkeyServer, migrated_sqlite_url: str, receiver: Receiver) -> dict[str, str]:
    return {
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": migrated_sqlite_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "20",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_CHUNK_SCANS": "1",
        "PHOTOCHROM_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }


def test_a_scan_s_stages_are_in_the_trace_that_the_scheduler_began(
    command: Callable[..., subprocess.CompletedProcess[str]],
    start: Callable[[str], subprocess.Popen[bytes]],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    (tmp_path / "scans").mkdir()
    for number in range(SCANS):
        cv2.imwrite(str(tmp_path / "scans" / f"{number}.png"), np.full((60, 80), 50 * number, np.uint8))
    assert command("submit", str(tmp_path / "scans"), str(tmp_path / "colour")).returncode == 0
    for name in ("worker", "scheduler"):
        start(name)
    wait_until(lambda: json.loads(command("status", "1", "--json").stdout)[0]["state"] == "completed")
    wait_until(
        lambda: len(receiver.named("scan")) == SCANS and len(_with_scan_parents(receiver)) >= SCANS * len(STAGES)
    )

    # A child begins to trace during its first task, so the scans of that task have a trace of their own.
    first = [scan for scan in receiver.named("scan") if not scan.parent_id]
    later = [scan for scan in receiver.named("scan") if scan.parent_id]
    wait_until(lambda: {scan.parent_id for scan in later} <= receiver.by_id().keys())

    assert (len(first), len(later)) == (1, SCANS - 1)
    spans = receiver.by_id()
    for scan in later:
        task = spans[scan.parent_id]
        assert (task.service, task.name.partition("/")[0]) == ("photochrom-worker", "run")
        message = spans[task.parent_id]
        assert (message.service, message.name.partition("/")[0]) == ("photochrom-scheduler", "apply_async")
        stages = [span for span in spans.values() if span.parent_id == scan.span_id]
        assert {span.name for span in stages} >= STAGES
        assert {span.trace_id for span in (*stages, scan, task)} == {message.trace_id}


def _with_scan_parents(receiver: Receiver) -> list[Span]:
    scans = {span.span_id for span in receiver.named("scan")}
    return [span for span in list(receiver.spans) if span.parent_id in scans and span.name in STAGES]
