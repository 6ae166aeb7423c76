"""Render the chart with Helm; return parts of the result."""

import subprocess
from functools import cache
from typing import Any

import yaml

from deploy import installers

PROJECT = installers.PROJECT
CHART = PROJECT / "deploy/helm/moshi-rooms"
RELEASE, NAMESPACE = "moshi-rooms", "voices"
NEEDED = """
host: talk.example.com
livekit: { url: "ws://livekit-server:80", host: livekit.example.com }
tokenService: { authMode: open }
"""
# Values as operators may write them, each added to the needed ones.
VALUES = {
    "least": "",
    "on a CPU": """
worker: { device: cpu, model: pocket, resources: { limits: { memory: 4Gi } }, surge: 1 }
ingress: { enabled: false }
networkPolicy: { enabled: false }
tokenService: { autoscaling: { enabled: false } }
""",
    "everything": """
personas: own-personas
recordings:
  volume: { persistentVolumeClaim: { claimName: recordings } }
  env: { RECORD_DAYS: "7" }
image: { registry: registry.example.com/voices/, pullSecrets: [pull] }
livekit: { service: livekit-server }
tokenService:
  authMode: api_keys
  apiKeys: callers
  audit: { persistentVolumeClaim: { claimName: audit } }
  env: { RATE_PER_CALLER: 60/minute }
  podAnnotations: { example.com/owner: voices }
  nodeSelector: { kubernetes.io/os: linux }
worker:
  tag: 0.1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000
  runtimeClassName: nvidia
  gpu: { nvidia.com/mig-3g.40gb: 1 }
  drainGraceS: 600
  env: { CAPACITY: "24" }
  envSecret: keys-of-functions
  weights: { persistentVolumeClaim: { claimName: weights } }
  voices: { configMap: { name: own-voices } }
  autoscaling: { enabled: true, max: 8, prometheus: "http://prometheus.monitoring.svc:9090" }
ingress:
  className: traefik
  annotations: { cert-manager.io/cluster-issuer: letsencrypt }
  trustedProxies: 10.0.0.0/8
networkPolicy:
  tokenServiceFrom: [{ namespaceSelector: {} }, { ipBlock: { cidr: 192.0.2.0/24 } }]
  workerFrom: []
  egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0 } }] }]
serviceMonitor: { enabled: true, labels: { release: prometheus }, bearerSecret: observer }
""",
}

Object = dict[str, Any]


def helm(command: str, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Helm on the chart with one of the `VALUES`."""
    return subprocess.run(
        [installers.helm(), *command.split(), str(CHART), "-f", "-", *arguments],
        input=yaml.safe_dump(_merged(yaml.safe_load(NEEDED), yaml.safe_load(VALUES[name]) or {})),
        capture_output=True,
        text=True,
        check=False,
    )


def _merged(under: Object, over: Object) -> Object:
    both = {
        key: _merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(over[key], dict)
    }
    return under | over | both


@cache
def rendered(name: str) -> tuple[Object, ...]:
    """Return the objects that Helm makes of one of the `VALUES`."""
    done = helm(f"template {RELEASE} --namespace {NAMESPACE}", name)

    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def of_kind(name: str, kind: str) -> dict[str, Object]:
    """Return the objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in rendered(name) if each["kind"] == kind}


def pod(name: str, part: str) -> Object:
    """Return the pod template of `token-service` or `worker`."""
    return of_kind(name, "Deployment")[f"{RELEASE}-{part}"]["spec"]["template"]


def container(name: str, part: str) -> Object:
    """Return the pod's only main container."""
    [only] = pod(name, part)["spec"]["containers"]
    return only


def environment(name: str, part: str, secrets: dict[str, str]) -> dict[str, str]:
    """Return a container's variables, with `secrets` in place of the Secret."""
    found = {"POD_NAME": "a-pod"}
    for each in container(name, part)["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        if reference is None and "value" in each:
            found[each["name"]] = each["value"].replace("$(POD_NAME)", found["POD_NAME"])
        elif reference is not None and reference["key"] in secrets:
            found[each["name"]] = secrets[reference["key"]]
        else:
            assert reference is None or reference["optional"], each["name"]
    return found
