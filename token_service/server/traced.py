"""ASGI middleware: a span for each request that may change something."""

from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.config import tracing

STATUS = "http.response.status_code"
READS = frozenset({"GET", "HEAD", "OPTIONS"})  # monitors and event streams: not traced


class Traced:
    """Continues the caller's trace, or begins one. The span has the route's name for its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READS:
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        parent = Headers(scope=scope).get("traceparent", "")
        with tracing.span(scope["method"], parent, SpanKind.SERVER) as span:
            await self._app(scope, receive, noting)
            route: str = getattr(scope.get("route"), "path", "")
            span.update_name(f"{scope['method']} {route}".rstrip())
            span.set_attribute(STATUS, status)
