"""An OpenTelemetry collector for tests: receives OTLP over HTTP and keeps the spans."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.http_server import QuietHandler, serving


@dataclass
class Collector:
    """The spans received so far, each with its service, and the bodies that they came in."""

    url: str
    spans: list[tuple[str, Span]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name."""
        return [span for _, span in self.spans if span.name == name]

    def below(self, span: Span) -> list[Span]:
        """Return the children of a span."""
        return [each for _, each in self.spans if each.parent_span_id == span.span_id]

    def take(self, body: bytes) -> None:
        """Keep the spans of a request's body."""
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = attribute(resource.resource, "service.name")
            self.spans += [
                (service, span) for scope in resource.scope_spans for span in scope.spans
            ]


def attribute(holder: object, key: str) -> str:
    """Return an attribute of a span or a resource as text; "" for none."""
    for each in getattr(holder, "attributes", ()):
        if each.key == key:
            kind = each.value.WhichOneof("value")
            return str(getattr(each.value, kind))
    return ""


@contextmanager
def collector() -> Generator[Collector]:
    """Run a collector on a free port of loopback."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Handler) as port:
        found = Collector(f"http://127.0.0.1:{port}")
        yield found
