"""docker-compose.yml as settings: the environment of its services, filled in from `.env`.

Read by doctor, and by the tests that run the containers' commands without docker. Pure, but for
reading the file.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from deploy.installers import PROJECT
from deploy.launch.plan import Plan, Process
from deploy.launch.ports import Port, Protocol
from protocol.config.settings import Settings
from protocol.errors import InvalidInput

FILE = PROJECT / "docker-compose.yml"
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
)
OPEN = ("page over https", "LiveKit's media")  # the others listen on the loopback alone


def services() -> dict[str, dict[str, Any]]:
    """Return the file's services."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's variables, filled in. Raises `InvalidInput` for one that must be set."""
    own = services()[name].get("environment", {})
    return {key: filled(str(value), given) for key, value in own.items()}


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


def plan(settings: Settings, address: str) -> Plan:
    """Return the plan of compose; ports for browsers are open at `address`, this host's own."""
    processes: dict[str, Process] = {}
    for name, number, use, protocol in PORTS:
        host = address if use in OPEN else "127.0.0.1"
        process = processes.setdefault(name, Process(name, [], {}, []))
        process.ports.append(Port(number, use, "", host, protocol))
    return Plan(settings, list(processes.values()), [], address)
