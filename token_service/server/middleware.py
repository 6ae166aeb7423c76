"""ASGI middleware for every request: limits of its body, HEAD as GET, headers, and who left."""

import asyncio

import structlog
from anyio import BrokenResourceError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.stdlib.get_logger(__name__)

BODY_BYTES = 256 * 1024  # 14 personas with prompts of 1000 escaped characters
BODY_S = 10.0  # for a whole body; on a slow mobile connection it takes one second
SENT_WITHIN_S = 0.01  # the time to read the rest of a body that the client has sent already
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AnswerHeaders:
    """Adds `HEADERS` to an answer, except those that it has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class HeadAsGet:
    """Answers HEAD as GET without the body; monitors and link checkers send HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head of GET's answer and end the answer there, even an endless one."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        complete = False

        async def send_head(message: Message) -> None:
            nonlocal complete
            if complete:
                return
            if message["type"] == "http.response.body":
                complete = True
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class StreamsLeft:
    """Passes over the error that FastAPI 0.165 raises where a client leaves a stream of events.

    It closes the stream's queue while events are put into it; nobody is there to get them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except* BrokenResourceError:
            log.debug("stream_left", path=scope["path"])


class BodyLimit:
    """Refuses a body that is longer than `BODY_BYTES` (413) or takes longer than `BODY_S` (408)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _has_body(Headers(scope=scope)):
            body = _LimitedBody(receive, send)
            receive, send = body.receive, body.send
        await self._app(scope, receive, send)


class _LimitedBody:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._received = 0
        self._is_whole = False
        self._deadline_s = asyncio.get_running_loop().time() + BODY_S

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, f"body: expected within {BODY_S:g} seconds") from error
        self._received += len(message.get("body", b""))
        if self._received > BODY_BYTES:
            raise HTTPException(413, f"body: expected at most {BODY_BYTES} bytes")
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; close the connection if the body is still incomplete."""
        if message["type"] == "http.response.start" and not await self._is_read():
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)

    async def _is_read(self) -> bool:
        """Read the bytes that have arrived; tell whether they end the body."""
        try:
            async with asyncio.timeout(SENT_WITHIN_S):
                while not self._is_whole:
                    await self.receive()
        except (TimeoutError, HTTPException):
            return False
        return True


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
