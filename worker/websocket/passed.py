"""A WebSocket client on its way from the main process, which admits it, to one that serves it.

Its request is not answered before, so it has sent nothing that could be lost on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from socket import socket

from aiohttp import web

from protocol.websocket_ticket import ChatTicket, RoomTicket


@dataclass(frozen=True, slots=True)
class PassedClient:
    """An admitted client. `on_left` may come on any thread."""

    number: int
    opens: ChatTicket | RoomTicket
    head: bytes  # of the request, as it came
    connection: socket  # a copy: the loop that read the request closes its own
    on_left: Callable[[], None]  # once, when nobody serves it any more


def head_of(request: web.BaseRequest) -> bytes:
    """Return the head of a request."""
    line = f"{request.method} {request.path_qs} HTTP/1.1"
    fields = (b": ".join(each) for each in request.raw_headers)
    return b"\r\n".join([line.encode(), *fields, b"", b""])


def connection_of(request: web.BaseRequest) -> socket:
    """Return a copy of a request's connection, and read nothing more here.

    Raises `ConnectionResetError` where the client is gone.
    """
    if request.transport is None:
        raise ConnectionResetError
    request.transport.pause_reading()
    return request.transport.get_extra_info("socket").dup()


class AnsweredElsewhere(web.StreamResponse):
    """The answer to a request whose connection was passed on: writes nothing."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Begin no answer."""

    async def write_eof(self, data: bytes = b"") -> None:
        """End no answer."""
