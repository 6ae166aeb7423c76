"""A call through the chart's pods, as processes beside LiveKit and a stand-in for Kubernetes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.lan.authority import make_authority
from harness import servers
from harness.certificate import write_certificate
from harness.http_server import QuietHandler, serving
from harness.person import eventually, joined
from tests.deploy.containers import command
from tests.deploy.helm import chart
from tests.deploy.helm.test_pods import SECRETS

WORKERS = ("first", "second")
READY_WITHIN_S = 90.0
HERE = {
    "HOST": "127.0.0.1",
    "WORKER_HOST": "127.0.0.1",
    "MODEL": "echo",
    "DEVICE": "cpu",
    "DRAIN_GRACE_S": "0",  # rooms move at once
}


@dataclass
class Cluster:
    """The pods, and the deletion costs that the workers' sidecars have written."""

    livekit: str
    at: dict[str, str]  # address of each pod
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    costs: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in WORKERS})


def probe(cluster: Cluster, name: str, kind: str) -> bool:
    """Send a pod's probe as the kubelet does; return whether the status is below 400."""
    path = chart.container("least", part_of(name))[kind]["httpGet"]["path"]
    try:
        return httpx.get(cluster.at[name] + path, trust_env=False, timeout=3).status_code < 400
    except httpx.HTTPError:
        return False


def part_of(name: str) -> str:
    """Return the part of the chart that a pod belongs to."""
    return "worker" if name in WORKERS else name


@contextmanager
def api_server(cluster: Cluster, folder: Path) -> Generator[int]:
    """Answer in place of Kubernetes' API server, with a certificate; yield the port."""

    class Patched(QuietHandler):
        """Stores the cost of a pod that a caller with the token sends."""

        def do_PATCH(self) -> None:
            """Accept a patch of one annotation."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            namespace, name = self.path.removeprefix("/api/v1/namespaces/").split("/pods/")
            known = self.headers["Authorization"] == "Bearer its-token" and namespace == "voices"
            if known:
                annotations = body["metadata"]["annotations"]
                cost = annotations["controller.kubernetes.io/pod-deletion-cost"]
                cluster.costs[name].append(int(cost))
            self.send_response(200 if known else 403)
            self.end_headers()

    authority = make_authority()
    (folder / "ca.crt").write_text(authority.pem)
    write_certificate(authority, "127.0.0.1", folder / "api.pem")
    with serving(Patched, certificate=folder / "api.pem") as port:
        yield port


@contextmanager
def pod(cluster: Cluster, name: str, redis_url: str, folder: Path) -> Generator[None]:
    """Run a pod's command with its variables, at an address of this machine."""
    part, port = part_of(name), cluster.at[name].rpartition(":")[2]
    given = chart.environment("least", part, SECRETS | {"REDIS_URL": redis_url})
    moved = HERE | {"LIVEKIT_URL": cluster.livekit, "PORT": port, "WORKER_PORT": port}
    env = {key: moved.get(key, value) for key, value in given.items()}
    line = [sys.executable, *command(part.replace("-", "_"), "CMD")[1:]]
    log = folder / f"{name}.log"
    with servers.running(line, lambda: True, log, env, chart.PROJECT) as process:
        cluster.processes[name] = process
        yield


@contextmanager
def sidecar(cluster: Cluster, name: str, api: str, folder: Path) -> Generator[None]:
    """Run the script of the ConfigMap beside a worker."""
    [config] = chart.of_kind("everything", "ConfigMap").values()
    script = folder / "deletion_cost.py"
    script.write_text(
        config["data"]["deletion_cost.py"].replace("PERIOD_S = 10.0", "PERIOD_S = 0.2")
    )
    for file, text in (("namespace", "voices"), ("token", "its-token")):
        (folder / file).write_text(text)
    env = {"WORKER": f"{cluster.at[name]}/", "API": api, "ACCOUNT": str(folder), "POD_NAME": name}
    log = folder / f"{name}-cost.log"
    with servers.running([sys.executable, str(script)], lambda: True, log, env):
        yield


@contextmanager
def running_cluster(folder: Path) -> Generator[Cluster]:
    """Run LiveKit, redis, three pods and sidecars; yield the cluster once it is ready."""
    at = {name: f"http://127.0.0.1:{servers.free_port()}" for name in ("token-service", *WORKERS)}
    values = yaml.safe_load((chart.PROJECT / "deploy/helm/livekit.yaml").read_text())["livekit"]
    values["webhook"]["urls"] = [f"{at['token-service']}/webhook"]
    config = {name: values[name] for name in ("room", "agents", "webhook")}
    config["keys"] = {SECRETS["LIVEKIT_API_KEY"]: SECRETS["LIVEKIT_API_SECRET"]}
    with ExitStack() as stack:
        redis_url = stack.enter_context(servers.start_redis(folder))
        livekit = stack.enter_context(servers.start_livekit(folder, settings=config))
        cluster = Cluster(livekit.url, at)
        api_port = stack.enter_context(api_server(cluster, folder))
        for name in at:
            stack.enter_context(pod(cluster, name, redis_url, folder))
        for name in WORKERS:
            url = f"https://127.0.0.1:{api_port}"
            stack.enter_context(sidecar(cluster, name, url, folder))
        for name in at:
            ready = partial(probe, cluster, name, "readinessProbe")
            servers.wait_until(ready, f"{name} is ready", READY_WITHIN_S, 0.5)
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster]:
    """Run the pods, whose readiness probes have succeeded."""
    with running_cluster(tmp_path) as cluster:
        yield cluster


async def test_a_removed_workers_call_moves_to_another(cluster: Cluster) -> None:
    """The pod with the call costs 1, the other 0, and the call moves when its pod is stopped.

    Each pod's liveness probe succeeds, as its readiness probe has.
    """
    assert all(probe(cluster, name, "livenessProbe") for name in cluster.at)
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.post(f"{cluster.at['token-service']}/token", json={})
    costs, token = cluster.costs, answer.json()["participant_token"]

    def hosting() -> list[str]:
        return [name for name in WORKERS if costs[name][-1:] == [1]]

    async with joined(cluster.livekit, token) as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: any(ann.rms(each.identity) > 0.2 for each in ann.personas), "echo")
        await eventually(lambda: len(hosting()) == 1, "the cost of one worker")
        [first] = hosting()
        [second] = [name for name in WORKERS if name != first]
        assert (costs[first], costs[second]) == ([0, 1], [0])

        cluster.processes[first].terminate()  # as Kubernetes does
        grace_s = chart.pod("least", "worker")["spec"]["terminationGracePeriodSeconds"]
        assert await asyncio.to_thread(cluster.processes[first].wait, min(grace_s, 30)) == 0
        await eventually(lambda: costs[second] == [0, 1], "the call at the other worker")
        await eventually(lambda: any(ann.rms(each.identity) > 0.2 for each in ann.personas), "echo")
