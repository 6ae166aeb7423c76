"""A token service that gives every request the same answer, and counts requests."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answering:
    """Where it is, and how often it was asked."""

    endpoint: str
    asked: int = 0


@contextmanager
def answering(status: int, body: str) -> Generator[Answering]:
    """Answer every POST so."""
    seen = Answering("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.asked += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Write no line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.endpoint = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, name="answering")
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()
