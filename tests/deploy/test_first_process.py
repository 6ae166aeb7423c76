"""What runs in a container beside our processes: its first process, and its health check."""

import subprocess
import sys

import pytest

from harness.http_server import QuietHandler, serving
from harness.servers import free_port
from tests.deploy.containers import COMPOSE as SERVICES
from tests.deploy.containers import DOCKERFILE, command, stage

OURS = ("token_service", "worker")


class Well(QuietHandler):
    """Answers that all is well."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()


@pytest.mark.parametrize("name", OURS)
def test_a_health_check_asks_past_the_proxy(name: str) -> None:
    """A health check succeeds in a container that docker gave the company's proxy."""
    proxy = f"http://127.0.0.1:{free_port()}"  # where nothing listens
    with serving(Well) as port:
        asked = [part.replace("8080", str(port)) for part in command(name, "HEALTHCHECK")]
        env = {"HTTP_PROXY": proxy, "http_proxy": proxy, "WORKER_PORT": str(port)}
        done = subprocess.run([sys.executable, *asked[1:]], env=env, capture_output=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["livekit", "caddy"])
def test_health_checks_of_other_servers_ask_past_the_proxy(name: str) -> None:
    """BusyBox's wget is told to use no proxy: it does not know NO_PROXY."""
    assert SERVICES[name]["healthcheck"]["test"][:4] == ["CMD", "wget", "-Y", "off"]


@pytest.mark.parametrize("name", OURS)
def test_our_images_begin_with_an_init(name: str) -> None:
    """tini is the first process of a container: it passes signals on and reaps orphans."""
    assert 'ENTRYPOINT ["tini", "--"]' in stage("base")
    assert "install -y --no-install-recommends tini" in stage("base")
    assert "FROM base AS " + name in DOCKERFILE
    assert "ENTRYPOINT" not in stage(name)
