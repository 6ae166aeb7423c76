"""A call through the chart's pods, which run as processes beside a LiveKit with the values for it.

Only addresses and ports are moved to this machine. The API server of Kubernetes is the one part
that is played: by a server that keeps what is patched.
"""

import json
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
import yaml

from deploy.lan.authority import make_authority
from harness import servers
from harness.certificate import write_certificate
from harness.person import eventually, joined
from tests.deploy.containers import command
from tests.deploy.helm import chart
from tests.deploy.helm.test_pods import PARTS, SECRETS

KEY, SECRET = SECRETS["LIVEKIT_API_KEY"], SECRETS["LIVEKIT_API_SECRET"]
READY_WITHIN_S = 90.0
HERE = {"HOST": "127.0.0.1", "WORKER_HOST": "127.0.0.1", "MODEL": "echo", "DRAIN_GRACE_S": "0"}


@dataclass
class Cluster:
    """The pods, and what the worker's sidecar has written."""

    at: dict[str, str]  # each part's address
    livekit: str
    worker: subprocess.Popen[bytes]
    patches: list[tuple[str, str, str]] = field(default_factory=list)  # path, bearer, cost


def probe(at: str, part: str, kind: str) -> bool:
    """Ask as the kubelet does; 200 to 399 is well."""
    path = chart.container("everything", part)[kind]["httpGet"]["path"]
    try:
        return httpx.get(at + path, trust_env=False, timeout=3).status_code < 400
    except httpx.HTTPError:
        return False


def answering(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    """Return what answers in the place of the API server."""

    class Patched(BaseHTTPRequestHandler):
        """Keeps a patch of an annotation."""

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            [cost] = body["metadata"]["annotations"].values()
            cluster.patches.append((self.path, self.headers["Authorization"], cost))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Patched


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """LiveKit, redis, both pods and the worker's sidecar, from ready to gone."""
    folder = tmp_path_factory.mktemp("cluster")
    ports = {part: servers.free_port() for part in PARTS}
    at = {part: f"http://127.0.0.1:{port}" for part, port in ports.items()}
    values = yaml.safe_load((chart.PROJECT / "deploy/helm/livekit.yaml").read_text())["livekit"]
    values["webhook"]["urls"] = [f"{at['token-service']}/webhook"]
    config = {name: values[name] for name in ("room", "agents", "webhook")} | {
        "keys": {KEY: SECRET}
    }
    with ExitStack() as stack:
        redis_url = stack.enter_context(servers.start_redis(folder))
        livekit = stack.enter_context(servers.start_livekit(folder, settings=config))
        moved = HERE | {
            "LIVEKIT_URL": livekit.url,
            "PORT": str(ports["token-service"]),
            "WORKER_PORT": str(ports["worker"]),
        }
        processes = {}
        for part in PARTS:
            env = chart.environment("least", part, SECRETS | {"REDIS_URL": redis_url})
            env |= {name: moved[name] for name in env.keys() & moved.keys()} | {"DEVICE": "cpu"}
            line = [sys.executable, *command(part.replace("-", "_"), "CMD")[1:]]
            log = folder / f"{part}.log"
            running = servers.running(line, lambda: True, log, env, chart.PROJECT)
            processes[part] = stack.enter_context(running)
        for part in PARTS:
            servers.wait_until(
                lambda part=part: probe(at[part], part, "readinessProbe"), part, READY_WITHIN_S, 0.5
            )
        there = Cluster(at, livekit.url, processes["worker"])
        stack.enter_context(sidecar(there, folder))
        yield there


def sidecar(cluster: Cluster, folder: Path) -> ExitStack:
    """Run the script of the ConfigMap as the pod would, with an API server for it."""
    [config] = chart.of_kind("everything", "ConfigMap").values()
    script = folder / "deletion_cost.py"
    script.write_text(
        config["data"]["deletion_cost.py"].replace("PERIOD_S = 10.0", "PERIOD_S = 0.2")
    )
    authority = make_authority()
    for name, text in (("namespace", "voices"), ("token", "its-token"), ("ca.crt", authority.pem)):
        (folder / name).write_text(text)
    write_certificate(authority, "127.0.0.1", folder / "api.pem")
    server = HTTPServer(("127.0.0.1", 0), answering(cluster))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    env = {
        "WORKER": f"{cluster.at['worker']}/",
        "API": f"https://127.0.0.1:{server.server_port}",
        "ACCOUNT": str(folder),
        "POD_NAME": "a-pod",
    }
    line = [sys.executable, str(script)]
    stack = ExitStack()
    Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    stack.enter_context(servers.running(line, lambda: True, folder / "sidecar.log", env))
    return stack


@pytest.mark.parametrize("part", PARTS)
def test_probes_find_the_pods_well(cluster: Cluster, part: str) -> None:
    """Both probes of both pods ask for something that is there."""
    assert probe(cluster.at[part], part, "readinessProbe")
    assert probe(cluster.at[part], part, "livenessProbe")


async def test_a_call_and_what_removing_the_worker_would_cost(cluster: Cluster) -> None:
    """A person hears the echo; the pod's deletion cost is the used slots, then 0 again."""
    pod_path = "/api/v1/namespaces/voices/pods/a-pod"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.post(f"{cluster.at['token-service']}/token", json={})
        token = answer.json()["participant_token"]
    async with joined(cluster.livekit, token) as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: bool(ann.personas), "a persona")
        persona = ann.personas[0].identity
        await eventually(lambda: ann.rms(persona) > 0.2, "the echo")
        await eventually(
            lambda: cluster.patches[-1:] == [(pod_path, "Bearer its-token", "1")], "the cost of 1"
        )

    assert cluster.patches[0] == (pod_path, "Bearer its-token", "0")
    assert len(cluster.patches) == 2  # written when it changes


def test_a_worker_that_is_told_to_stop_ends_in_its_grace(cluster: Cluster) -> None:
    """SIGTERM, as Kubernetes sends it: the worker takes leave of its rooms and ends with 0."""
    grace_s = chart.pod("least", "worker")["spec"]["terminationGracePeriodSeconds"]
    cluster.worker.terminate()

    assert cluster.worker.wait(min(grace_s, 30)) == 0
