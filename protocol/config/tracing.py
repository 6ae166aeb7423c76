"""Traces of rooms, from the request for a token to the first sound that people hear.

Off until `start` gets an address: till then every function does nothing and imports nothing.
A trace goes from process to process as a W3C `traceparent`: in the room spec, or as "" for none.
Attributes are ids and figures. Words, prompts, and names of people and rooms are none.
"""

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager

Figure = str | int | float | bool


class Span:
    """A span that has begun; this one does nothing."""

    @property
    def traceparent(self) -> str:
        """Where its children belong."""
        return ""

    def note(self, name: str = "", **figures: Figure) -> None:
        """Add figures, and give it another name."""

    def end(self, at_s: float | None = None, **figures: Figure) -> None:
        """End it, now or at a time of the epoch. A second end does nothing."""


class Tracer:
    """Begins spans and sends them, as `OtlpTracer` does; this one does nothing."""

    def begin(
        self, name: str, parent: str, start_s: float | None, figures: Mapping[str, Figure]
    ) -> Span:
        """Begin a span, now or at a time of the epoch, below a parent."""
        return Span()

    @contextmanager
    def span(
        self, name: str, parent: str, kind: str, figures: Mapping[str, Figure]
    ) -> Generator[Span]:
        """Make a span the current one of this task."""
        yield Span()

    def current(self) -> str:
        """Return the current span's `traceparent`."""
        return ""

    def stop(self) -> None:
        """Send what waits."""


_tracer = Tracer()


def start(endpoint: str | None, service: str, *, with_redis: bool = False) -> None:
    """Send traces to a collector, if there is one, as a service's; `with_redis`: its calls too."""
    global _tracer
    if endpoint is not None:
        from protocol.config.otlp import OtlpTracer

        _tracer = OtlpTracer(endpoint, service, with_redis)


def stop() -> None:
    """Send what waits, and trace no more."""
    global _tracer
    _tracer.stop()
    _tracer = Tracer()


def begin(name: str, parent: str, start_s: float | None = None, **figures: Figure) -> Span:
    """Begin a span, now or at a time of the epoch, below a `traceparent`."""
    return _tracer.begin(name, parent, start_s, figures)


def span(
    name: str, parent: str = "", kind: str = "internal", **figures: Figure
) -> AbstractContextManager[Span]:
    """Make a span the current one of this task, below the parent or the one that is current.

    `kind`: `internal`, `server` or `client`. An exception is noted on the span.
    """
    return _tracer.span(name, parent, kind, figures)


def current() -> str:
    """Return the `traceparent` of the current span."""
    return _tracer.current()
