"""OpenTelemetry traces, if PHOTOCHROM_TRACES is true: spans of scans, their stages, SQL, S3 and messages.

OpenTelemetry's own variables say where traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_*. This module
is imported only if traces are on, because its packages come with `photochrom[traces]`.
"""

from contextlib import AbstractContextManager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from sqlalchemy import Engine


class Tracing:
    """The traces of one process. Make it after a fork, because its thread does not exist in a forked process."""

    def __init__(self, service: str, engine: Engine, exporter: SpanExporter | None = None) -> None:
        """exporter: used instead of OTLP over HTTP."""
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("photochrom")
        # It declares SQLAlchemy up to 2.0, but the events that it uses exist in 2.1 too. A test checks this.
        SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=self._provider, skip_dep_check=True)
        BotocoreInstrumentor().instrument(tracer_provider=self._provider)
        CeleryInstrumentor().instrument(tracer_provider=self._provider)

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span around a block, inside the open span."""
        return self._tracer.start_as_current_span(name)

    def flush(self) -> None:
        """Send what has not been sent."""
        self._provider.force_flush()

    def stop(self) -> None:
        """Send the spans that are left, and stop tracing."""
        for instrumentor in (SQLAlchemyInstrumentor(), BotocoreInstrumentor(), CeleryInstrumentor()):
            instrumentor.uninstrument()
        self._provider.shutdown()
