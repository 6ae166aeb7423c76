"""Helpers for attacks with half requests: they send the half of many requests and wait."""

import socket
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress

HEAD = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 100\r\n\r\n" + b'{"room_name":'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + b'{"a":'
PATHS = (b"/token", b"/sessions", b"/webhook")  # each reads a body


def halves(*kinds: bytes) -> list[bytes]:
    """Return half a request of each kind for each path."""
    return [kind.replace(b"%s", path) for path in PATHS for kind in kinds]


@contextmanager
def held(port: int, requests: Sequence[bytes], many: int) -> Generator[list[socket.socket]]:
    """Open `many` connections, send one of these half requests on each, and keep them open."""
    with ExitStack() as connections:
        opened: list[socket.socket] = []
        for number in range(many):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            with suppress(OSError):  # closed already
                connection.sendall(requests[number % len(requests)])
            opened.append(connection)
        yield opened
