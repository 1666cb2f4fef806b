"""OpenTelemetry traces, off unless PHOTOCHROM_TRACES is true: spans of scans, their stages, SQL, S3 and messages.

Where they go to is OpenTelemetry's own to say: OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_* variables.
Imported only where traces are on: its packages come with `photochrom[traces]`.
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
    """The traces of one process. Made after a fork: its thread, which sends spans, does not cross one."""

    def __init__(self, service: str, engine: Engine, exporter: SpanExporter | None = None) -> None:
        """exporter: in place of OTLP over HTTP."""
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("photochrom")
        # It knows SQLAlchemy up to 2.0, and listens to events that 2.1 has too; a test makes sure of it.
        SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=self._provider, skip_dep_check=True)
        BotocoreInstrumentor().instrument(tracer_provider=self._provider)
        CeleryInstrumentor().instrument(tracer_provider=self._provider)

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span around a block, below the one that is open."""
        return self._tracer.start_as_current_span(name)

    def flush(self) -> None:
        """Send what has not been sent."""
        self._provider.force_flush()

    def stop(self) -> None:
        """Send what is left, and trace no more."""
        for instrumentor in (SQLAlchemyInstrumentor(), BotocoreInstrumentor(), CeleryInstrumentor()):
            instrumentor.uninstrument()
        self._provider.shutdown()
