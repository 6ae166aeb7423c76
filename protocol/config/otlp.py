"""Traces by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where traces are on.

The tracer is our own and not the process's global one: `livekit-agents` writes spans of its own to
that, whose attributes we do not know.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from protocol.config.tracing import Figure, Span, Tracer

CARRIER = TraceContextTextMapPropagator()
HEADER = "traceparent"
SPAN_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class OtlpTracer(Tracer):
    """Begins spans and sends those that have ended, on a thread of the SDK."""

    def __init__(self, endpoint: str, service: str, with_redis: bool) -> None:
        """Send to a collector, as spans of a service. OTEL_… of the environment may say more."""
        self._provider = TracerProvider(
            sampler=ParentBased(_NoLoneCalls()), resource=Resource.create({SERVICE_NAME: service})
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("moshi-rooms")
        self._redis = RedisInstrumentor() if with_redis else None
        if self._redis is not None:  # its spans name commands without their values
            self._redis.instrument(tracer_provider=self._provider)

    def begin(
        self, name: str, parent: str, start_s: float | None, figures: Mapping[str, Figure]
    ) -> "OtlpSpan":
        start_ns = None if start_s is None else _ns(start_s)
        began = self._tracer.start_span(
            name, _context(parent), attributes=dict(figures), start_time=start_ns
        )
        return OtlpSpan(began)

    @contextmanager
    def span(
        self, name: str, parent: str, kind: str, figures: Mapping[str, Figure]
    ) -> Generator["OtlpSpan"]:
        with self._tracer.start_as_current_span(
            name,
            _context(parent) if parent else None,
            SPAN_KINDS[kind],
            dict(figures),
            record_exception=False,  # its text may quote a request
            set_status_on_exception=False,
        ) as began:
            try:
                yield OtlpSpan(began)
            except BaseException as error:
                began.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def current(self) -> str:
        return OtlpSpan(trace.get_current_span()).traceparent

    def stop(self) -> None:
        if self._redis is not None:
            self._redis.uninstrument()
        self._provider.shutdown()


class OtlpSpan(Span):
    """A span of the SDK, or the SDK's own that means none."""

    def __init__(self, began: trace.Span) -> None:
        self._span = began

    @property
    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        CARRIER.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return carrier.get(HEADER, "")

    def note(self, name: str = "", **figures: Figure) -> None:
        self._span.set_attributes(figures)
        if name:
            self._span.update_name(name)

    def end(self, at_s: float | None = None, **figures: Figure) -> None:
        if self._span.is_recording():
            self._span.set_attributes(figures)
            self._span.end(None if at_s is None else _ns(at_s))


class _NoLoneCalls(Sampler):
    """Leaves out calls to redis and LiveKit that belong to no trace: the polls of each second."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Sample the roots that are no calls."""
        is_call = kind == SpanKind.CLIENT
        return SamplingResult(Decision.DROP if is_call else Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "NoLoneCalls"


def _context(parent: str) -> Context:
    return CARRIER.extract({HEADER: parent}, Context())


def _ns(at_s: float) -> int:
    return int(at_s * 1e9)
