"""Traces by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where traces are on.

The tracer is our own and not the process's global one: `livekit-agents` writes spans of its own to
that, whose attributes we do not know.
"""

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Tracer, TraceState
from opentelemetry.util.types import Attributes


def open_tracer(
    endpoint: str, service: str, *, with_redis: bool
) -> tuple[Tracer, Callable[[], None]]:
    """Return a tracer that sends to a collector from a thread of the SDK, and how to close it.

    OTEL_… of the environment may say more.
    """
    provider = TracerProvider(
        sampler=ParentBased(_NoLoneCalls()), resource=Resource.create({SERVICE_NAME: service})
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    redis = RedisInstrumentor()
    if with_redis:  # its spans name commands without their values
        redis.instrument(tracer_provider=provider)

    def close() -> None:
        if with_redis:
            redis.uninstrument()
        provider.shutdown()

    return provider.get_tracer("moshi-rooms"), close


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
