"""docker-compose.yml as settings: the environment of its services, filled in from `.env`.

Read by doctor, and by the tests that run the containers' commands without docker. Pure, but for
reading the file.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
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
OVERRIDES = (  # compose merges the first of them that is there, unless COMPOSE_FILE is set
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
OURS = ("token_service", "worker")
DOMAIN = re.compile(r"([\w.-]+(:\d+)?)?")  # none: an error of its own
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


def _overriding(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Loader.add_constructor("!reset", lambda _loader, _node: None)
_Loader.add_constructor("!override", _overriding)


def services(given: Mapping[str, str] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """Return the services that start: of the files that compose reads, without other profiles.

    Raises `InvalidInput` for a file that cannot be read.
    """
    merged: dict[str, dict[str, Any]] = {}
    for name in _files(given):
        for service, keys in _services_of(PROJECT / name).items():
            before = merged.setdefault(service, {"environment": {}})
            environment = before["environment"] | _variables(keys.get("environment"))
            before.update(keys, environment=environment)
    profiles = set(given.get("COMPOSE_PROFILES", "").replace(" ", "").split(","))
    _refuse_unknown(profiles - {"", "*"}, merged)
    return {
        name: each
        for name, each in merged.items()
        if not each.get("profiles") or profiles & set(each["profiles"])
    }


def _refuse_unknown(profiles: set[str], merged: Mapping[str, dict[str, Any]]) -> None:
    known = sorted({name for each in merged.values() for name in each.get("profiles") or ()})
    for name in profiles.difference(known):  # compose passes over it without a word
        raise InvalidInput(f"COMPOSE_PROFILES={name!r}: expected {' or '.join(known)}")


def _files(given: Mapping[str, str]) -> list[str]:
    """Return the files in `COMPOSE_FILE`; where it is not set, ours and an operator's override."""
    if named := given.get("COMPOSE_FILE"):
        return named.split(":")
    return [FILE, *[name for name in OVERRIDES if (PROJECT / name).is_file()][:1]]


def _services_of(path: Path) -> dict[str, dict[str, Any]]:
    try:
        held = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        return {name: keys or {} for name, keys in (held.get("services") or {}).items()}
    except OSError as error:
        why = f"{error.strerror}; expected files that are there, with colons between them"
        raise InvalidInput(f"COMPOSE_FILE: {path}: {why}") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise InvalidInput(f"COMPOSE_FILE: {path}: expected a compose file") from error


def _variables(table: dict[str, Any] | list[str] | None) -> dict[str, Any]:
    """Return a service's variables; those without a value are taken from the environment."""
    if isinstance(table, list):
        pairs = (each.partition("=") for each in table)
        return {name: value if has_value else None for name, has_value, value in pairs}
    return table or {}


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's variables, filled in.

    Raises `InvalidInput` for one that must be set, and for a `DOMAIN` that is no name.
    """
    if not DOMAIN.fullmatch(domain := given.get("DOMAIN", "")):
        raise InvalidInput(
            f"DOMAIN={domain!r}: expected a name alone, as talk.example.com, without https://"
        )
    own = services(given)[name]["environment"]
    return {
        key: given[key] if value is None else filled(str(value), given)
        for key, value in own.items()
        if value is not None or given.get(key)
    }


def unused(names: Iterable[str], given: Mapping[str, str]) -> list[str]:
    """Return those of some settings that no container is told, or is told otherwise."""
    told = [
        (name, str(value or name))
        for each in services(given).values()
        for name, value in each["environment"].items()
    ]
    passed = {name for name, value in told if re.search(rf"(?<![A-Z_]){name}(?![A-Z_])", value)}
    return [name for name in names if name.lower() in Settings.model_fields and name not in passed]


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
