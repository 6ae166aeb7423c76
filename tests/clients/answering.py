"""A token service that gives every request the same answer, and counts the requests."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.http_server import QuietHandler, serving


@dataclass
class Answering:
    """The service's endpoint, and how often it was asked."""

    endpoint: str
    asked: int = 0


@contextmanager
def answering(status: int, body: str) -> Generator[Answering]:
    """Answer every POST with this status and body."""
    seen = Answering("")

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            seen.asked += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    with serving(Handler) as port:
        seen.endpoint = f"http://127.0.0.1:{port}/token"
        yield seen
