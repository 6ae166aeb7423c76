"""Traces of rooms, from the request for a token to the first sound that people hear.

Off until `start` gets an address: till then OpenTelemetry's API makes spans that do nothing.
A trace goes from process to process as a W3C `traceparent`: in the room spec, or as "" for none.
Attributes are ids and figures. Words, prompts, and names of people and rooms are none.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Figure = str | int | float | bool

HEADER = "traceparent"
CARRIER = TraceContextTextMapPropagator()


def _nothing() -> None:
    pass


_tracer: Tracer = NoOpTracer()
_close: Callable[[], None] = _nothing


def start(endpoint: str | None, service: str, *, with_redis: bool = False) -> None:
    """Send traces to a collector, if there is one, as a service's; `with_redis`: its calls too."""
    global _tracer, _close
    if endpoint is not None:
        from protocol.config.otlp import open_tracer

        _tracer, _close = open_tracer(endpoint, service, with_redis=with_redis)


def stop() -> None:
    """Send what waits, and trace no more."""
    global _tracer, _close
    _close()
    _tracer, _close = NoOpTracer(), _nothing


def begin(name: str, parent: str, start_s: float | None = None, **figures: Figure) -> Span:
    """Begin a span, now or at a time of the epoch, below a `traceparent`."""
    return _tracer.start_span(
        name, _context(parent), attributes=figures, start_time=_nanoseconds(start_s)
    )


def end(span: Span, at_s: float | None = None, **figures: Figure) -> None:
    """End a span, now or at a time of the epoch. A second end does nothing."""
    if span.is_recording():
        span.set_attributes(figures)
        span.end(_nanoseconds(at_s))


@contextmanager
def span(
    name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, **figures: Figure
) -> Generator[Span]:
    """Make a span the current one of this task, below the parent or the one that is current.

    An exception marks the span with its type alone: its text may quote a request.
    """
    with _tracer.start_as_current_span(
        name,
        _context(parent) if parent else None,
        kind,
        figures,
        record_exception=False,
        set_status_on_exception=False,
    ) as began:
        try:
            yield began
        except BaseException as error:
            began.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def current() -> str:
    """Return the `traceparent` of the current span."""
    return traceparent(trace.get_current_span())


def traceparent(span: Span) -> str:
    """Return where a span's children belong."""
    carrier: dict[str, str] = {}
    CARRIER.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(HEADER, "")


def _context(parent: str) -> Context:
    return CARRIER.extract({HEADER: parent}, Context())


def _nanoseconds(at_s: float | None) -> int | None:
    return None if at_s is None else int(at_s * 1e9)
