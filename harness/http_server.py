"""A small HTTP server on a thread, for tests: a handler answers instead of another service."""

import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, BaseServer

MakeHandler = Callable[..., BaseRequestHandler]  # of one request: a class, or a `partial` of one


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that writes no line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@contextmanager
def on_thread(server: BaseServer) -> Generator[None]:
    """Let a server answer on a thread until the context ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="server")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serving(
    handler: MakeHandler, host: str = "127.0.0.1", port: int = 0, certificate: Path | None = None
) -> Generator[int]:
    """Serve until the context ends; yield the port. With a certificate, by https."""
    with ThreadingHTTPServer((host, port), handler) as server:
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        with on_thread(server):
            yield server.server_port
