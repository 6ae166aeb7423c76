"""WebSockets whose clients break the protocol, against a real server."""

import asyncio
import socket

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.token_service.players import served

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = bytes(4)


async def _listen(client: WebSocket) -> None:
    await client.accept()
    while (await client.receive())["type"] == "websocket.receive":
        pass


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x01a", 1002),  # no mask
        (b"\xf2\x81" + MASK + b"a", 1002),  # reserved bits
        (b"\x83\x80" + MASK, 1002),  # an unknown kind
        (b"\x80\x80" + MASK, 1002),  # the end of no message
        (b"\x89\xfe\x00\x7e" + MASK + bytes(126), 1002),  # a ping that is too long
        (b"\x81\x81" + MASK + b"\xff", 1007),  # a text that is none
    ],
)
async def test_a_malformed_frame_is_told_its_code(frame: bytes, code: int) -> None:
    """A client that breaks the protocol gets a close frame with RFC 6455's code."""
    app = Starlette(routes=[WebSocketRoute("/", _listen)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(app, listening), asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame)
            answer = await reader.read()
            writer.close()

    assert answer[:1] == b"\x88"  # a close frame
    assert int.from_bytes(answer[2:4], "big") == code
