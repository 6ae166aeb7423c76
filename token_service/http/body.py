"""A request's body, up to a size and for a while: nobody fills this process or holds it."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 256 * 1024  # 14 personas with prompts of 1000 escaped characters
BODY_S = 10.0  # for a whole body: a phone's slow line takes a second for one
THERE_S = 0.01  # a body that came with its request's head is read within it


class BodyLimit:
    """Ends the reading of a body that is longer than `BODY_BYTES` (413) or takes `BODY_S` (408)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch over the request's body, where it has one."""
        if scope["type"] == "http" and _has_body(Headers(scope=scope)):
            body = Body(receive, send)
            receive, send = body.receive, body.send
        await self._app(scope, receive, send)


class Body:
    """One body on its way."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._received = 0
        self._is_whole = False
        self._deadline_s = asyncio.get_running_loop().time() + BODY_S

    async def receive(self) -> Message:
        """Give the next piece. Raises `HTTPException`."""
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
        """Pass on an answer; one that comes before the body's end ends the connection, too."""
        if message["type"] == "http.response.start" and not await self._is_read():
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)

    async def _is_read(self) -> bool:
        """Tell whether the body is whole, or its rest is there already and can be passed over."""
        try:
            async with asyncio.timeout(THERE_S):
                while not self._is_whole:
                    await self.receive()
        except (TimeoutError, HTTPException):
            return False
        return True


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
