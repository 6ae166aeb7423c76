"""A forward proxy on the loopback for tests. It records the hosts that clients ask for.

Every connection goes to 127.0.0.1 at the requested port, so a client reaches a name that no
resolver knows through the proxy only.
"""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast
from urllib.parse import urlsplit

from harness.http_server import on_thread

IDLE_S = 20.0  # then a connection without data is closed
CHUNK = 65_536


@dataclass
class ForwardProxy:
    """A running proxy: its URL, and each `host:port` that a client asked it for."""

    url: str = ""
    targets: list[str] = field(default_factory=list[str])


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: bytes | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self.asked = ForwardProxy(f"http://127.0.0.1:{self.server_address[1]}")


class _Connection(StreamRequestHandler):
    def handle(self) -> None:
        """Read a request's head; connect to its target, or send the fixed answer."""
        server = cast("_Server", self.server)
        with suppress(OSError):
            self.connection.settimeout(IDLE_S)
            head = self._head()
            method, target, *_ = head.split(b"\r\n", 1)[0].split(b" ")
            where = urlsplit(f"//{target.decode()}" if method == b"CONNECT" else target.decode())
            server.asked.targets.append(where.netloc)
            if server.answer is not None:
                self.connection.sendall(server.answer)
                return
            with socket.create_connection(("127.0.0.1", where.port or 80), IDLE_S) as there:
                if method == b"CONNECT":
                    self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = f"{where.path or '/'}?{where.query}".encode()
                    there.sendall(head.replace(target, path, 1))
                self._pass_on(there)

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < CHUNK:
            if not (line := self.rfile.readline(CHUNK)):
                raise OSError("no request")
            head += line
        return head

    def _pass_on(self, there: socket.socket) -> None:
        """Copy both directions until one side closes."""
        back = threading.Thread(target=_copy, args=(there.recv, self.connection), daemon=True)
        back.start()
        _copy(self.rfile.read1, there)
        back.join(IDLE_S)


def _copy(read: "object", to: socket.socket) -> None:
    with suppress(OSError):
        while data := read(CHUNK):  # type: ignore[operator]
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@contextmanager
def forward_proxy(answers: bytes | None = None) -> Generator[ForwardProxy]:
    """Run a proxy. With `answers` it connects nowhere and always sends that answer."""
    with _Server(answers) as server, on_thread(server):
        yield server.asked


def saying(status: str, body: str = "") -> bytes:
    """Return a complete HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body.encode()
