"""The pinned npm packages of this folder: run by Node, or bundled for a browser."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploy import installers
from harness.http_server import on_thread

HERE = Path(__file__).parent
NODE_WITHIN_S = 60.0


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for each request."""


def bundle(page: str, folder: Path) -> None:
    """Write a page of `page/` into a folder, with a script that bundles the packages it imports."""
    run_node("bundle.mjs", str(HERE / "page" / f"{page}.jsx"), str(folder / f"{page}.js"))
    (folder / "index.html").write_text((HERE / "page" / "index.html").read_text())


@contextmanager
def serving(folder: Path, port: int) -> Generator[str]:
    """Serve a folder at an origin of its own, as a frontend's developer would."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server, on_thread(server):
        yield f"http://127.0.0.1:{port}"


def run_node(script: str, *arguments: str) -> str:
    """Run a script of this folder in Node; return what it prints."""
    command = [str(installers.node()), str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=NODE_WITHIN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout
