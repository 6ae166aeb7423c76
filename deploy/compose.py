"""docker-compose.yml as settings: the environment of its services, filled in from `.env`.

Read by doctor, and by the tests that run the containers' commands without docker. Pure, but for
reading the file.
"""

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from deploy.installers import PROJECT
from deploy.launch.plan import Plan, Process
from deploy.launch.ports import Port, Protocol
from protocol.config.settings import Settings
from protocol.errors import InvalidInput

FILE = "docker-compose.yml"
CPU_FILE = (
    "docker-compose.cpu.yml"  # COMPOSE_FILE names it beside the other on a host without a GPU
)
OURS = ("token_service", "worker")
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")

# Host network: (service, number, what for, protocol). Fixed in the files; no setting moves them.
PORTS: tuple[tuple[str, int, str, Protocol], ...] = (
    ("caddy", 80, "page over https", "tcp"),
    ("caddy", 443, "page over https", "tcp"),
    ("livekit", 7880, "LiveKit", "tcp"),
    ("livekit", 7881, "LiveKit's media", "tcp"),
    *(("livekit", number, "LiveKit's media", "udp") for number in range(7882, 7890)),
    ("redis", 6379, "redis", "tcp"),
    ("token_service", 8080, "page and token service", "tcp"),
    ("worker", 8081, "worker's health", "tcp"),
    ("second_worker", 8082, "worker's health", "tcp"),
    ("prometheus", 9090, "Prometheus", "tcp"),
    ("grafana", 3000, "Grafana", "tcp"),
    ("traces", 4318, "Jaeger's collector", "tcp"),
    ("traces", 16686, "Jaeger's page", "tcp"),
)
OPEN = ("page over https", "LiveKit's media")  # the others listen on the loopback alone


class _Loader(yaml.SafeLoader):
    """Reads compose's own tags too."""


_Loader.add_constructor("!reset", lambda _loader, _node: None)


def services(given: Mapping[str, str] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """Return the services that start: of the files in `COMPOSE_FILE`, without other profiles."""
    merged: dict[str, dict[str, Any]] = {}
    for name in given.get("COMPOSE_FILE", FILE).split(":"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        for service, keys in yaml.load(text, _Loader)["services"].items():
            before = merged.setdefault(service, {})
            environment = {**before.get("environment", {}), **keys.get("environment", {})}
            before.update(keys, environment=environment)
    profiles = set(given.get("COMPOSE_PROFILES", "").split(","))
    return {
        name: each
        for name, each in merged.items()
        if not each.get("profiles") or profiles & set(each["profiles"])
    }


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's variables, filled in. Raises `InvalidInput` for one that must be set."""
    own = services(given)[name]["environment"]
    return {
        key: given[key] if value is None else filled(str(value), given)
        for key, value in own.items()
        if value is not None or given.get(key)
    }


def filled(text: str, given: Mapping[str, str]) -> str:
    """Fill in `${NAME}`, `${NAME:?why}` and `${NAME:-default}` as compose does."""

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if value := given.get(name, ""):
            return value
        if kind == "?":
            raise InvalidInput(f"{name} is not set: docker-compose.yml expects it {rest}")
        return rest or ""

    return VARIABLE.sub(fill, text)


def plan(settings: Settings, address: str, started: Collection[str] = ()) -> Plan:
    """Return the plan of compose; ports for browsers are open at `address`, this host's own."""
    processes: dict[str, Process] = {}
    for name, number, use, protocol in PORTS:
        if name not in (started or services()):
            continue
        host = address if use in OPEN else "127.0.0.1"
        process = processes.setdefault(name, Process(name, [], {}, []))
        process.ports.append(Port(number, use, "", host, protocol))
    return Plan(settings, list(processes.values()), [], address)
