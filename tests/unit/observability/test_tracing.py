"""Traces have a span for each scan and, below it, a span for each stage; without tracing there are none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image
from skimage import data
from sqlalchemy import Engine, text

from db.session import make_engine
from tests.unit.pipeline.test_pipeline import assignment, colorize, pipeline  # noqa: F401  the fixture
from worker.observability.tracing import Tracing
from worker.pipeline.colorize import Pipeline
from worker.settings.settings import Settings
from worker.tasks.child import _span_maker


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return make_engine(f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
def tracing(spans: InMemorySpanExporter, engine: Engine) -> Iterator[Tracing]:
    tracing = Tracing("test", engine, spans)
    yield tracing
    tracing.stop()


def test_a_scan_s_stages_are_spans_below_the_scan_s(
    pipeline: Pipeline,  # noqa: F811
    tracing: Tracing,
    spans: InMemorySpanExporter,
    tmp_path: Path,
) -> None:
    Image.fromarray(data.camera()).save(tmp_path / "in" / "a.png")
    colorize(replace(pipeline, span=tracing.span), assignment("a.png", "a.png", "png"))
    tracing.flush()
    finished = {span.name: span for span in spans.get_finished_spans()}

    assert set(finished) == {"scan", "fetch", "open", "predict", "compose", "store"}
    scan = finished.pop("scan").context
    assert scan is not None
    assert {span.parent and span.parent.span_id for span in finished.values()} == {scan.span_id}


def test_without_tracing_a_scan_has_no_spans(
    pipeline: Pipeline,  # noqa: F811
    tracing: Tracing,
    engine: Engine,
    spans: InMemorySpanExporter,
    tmp_path: Path,
) -> None:
    """A child whose settings say nothing about traces takes `no_span`, also where spans could be sent."""
    Image.fromarray(data.camera()).save(tmp_path / "in" / "a.png")
    span = _span_maker(Settings(), engine)
    colorize(replace(pipeline, span=span), assignment("a.png", "a.png", "png"))
    tracing.flush()

    assert (tmp_path / "out" / "a.png").exists()
    assert spans.get_finished_spans() == ()


def test_a_statement_is_a_span(engine: Engine, tracing: Tracing, spans: InMemorySpanExporter) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    tracing.flush()

    assert any(span.name.startswith("SELECT") for span in spans.get_finished_spans())
