"""What `make run` starts: processes, their order, their ports and what each is told.

Made from settings alone; starts nothing. A LiveKit or redis that the person names and that runs
already, or lies on another machine, is used and not started.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import IPvAnyAddress, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy import installers, livekit_config
from deploy.lan import local_network
from deploy.lan.local_network import EVERYWHERE, Lan
from deploy.launch.ports import Port, is_free
from protocol.config.addresses import netloc, without_password
from protocol.config.env_file import ENCODING
from protocol.config.settings import PROJECT, Settings, load_settings
from protocol.config.settings import Port as PortNumber
from protocol.errors import InvalidInput, explain

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
REDIS_PORTS = range(6379, 6400)  # the first free one: many machines run a redis of their own
DRAIN_GRACE_S = 1.0  # in development nobody waits for a conversation to end
LIVEKIT_VARIABLES = ("LIVEKIT_", "NODE_IP", "UDP_PORT", "REDIS_")  # livekit-server reads these too


class Launch(BaseSettings):
    """What only `make run` knows: ports and an address of the servers that it starts."""

    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_file_encoding=ENCODING,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    livekit_port: PortNumber | None = None
    livekit_redis: bool = False  # LiveKit keeps its rooms in redis: for SIP, ingress and egress
    redis_port: PortNumber | None = None
    https_port: PortNumber = 8443  # of the page, where HOST is an address of a local network
    node_ip: IPvAnyAddress | None = None  # what LiveKit tells clients; unset: follows HOST


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised command, its ports the first of which says whether it is there.

    `after` are addresses that must answer first, `outlive` those that must be gone first.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    ports: list[Port]
    after: tuple[str, ...] = ()
    outlive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that runs, in the order of starting; what is used but not started."""

    settings: Settings
    processes: list[Process]
    used: list[str]
    node_ip: str
    lan: Lan | None = None  # None: for this machine, or behind TLS of the person's own
    livekit_redis: bool = False

    @property
    def ports(self) -> list[Port]:
        """Every port that will be bound."""
        return [port for process in self.processes for port in process.ports]

    @property
    def livekit_config(self) -> dict[str, Any] | None:
        """The configuration of the LiveKit that is started, its secret in it; None: none is."""
        if not any(process.name == "livekit" for process in self.processes):
            return None
        quiet = self.settings.log_level != "debug"
        port = port_of(self.settings.livekit_url, 7880)
        return livekit_config.development(
            self.settings, port=port, node_ip=self.node_ip, quiet=quiet, redis=self.livekit_redis
        )

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        if self.lan is not None:
            return self.lan.address
        here = self.settings.host in ("127.0.0.1", "localhost", *EVERYWHERE)
        return f"http://{netloc('localhost' if here else self.settings.host, self.settings.port)}"


def make_plan(
    environment: Mapping[str, str],
    folder: Path,
    *,
    terminal: bool,
    find: Callable[[str], Path] = installers.find,
) -> Plan:
    """Read all settings and decide. Raises `InvalidInput`, and `ProgramMissing` with `find`.

    `folder` is where servers write; on a `terminal` the log is for people, else JSON; `find` gives
    the programs, and may build them.
    """
    loaded, launch = load_settings(), _launch()
    settings, starts_livekit, starts_redis = _follow(loaded, launch)
    network = None
    if loaded.host not in LOOPBACK_HOSTS and "livekit_public_url" not in loaded.model_fields_set:
        settings, network = local_network.open_to(
            settings, launch.https_port, starts_livekit=starts_livekit
        )
    node_ip = str(launch.node_ip or (network.host if network else livekit_config.LOOPBACK))
    told = dict(environment) | _told(settings, terminal) | local_network.told(network, settings)
    processes: list[Process] = []
    used: list[str] = []
    if starts_redis:
        processes.append(_redis(settings, told, folder, find))
    else:
        used.append(f"redis at {without_password(settings.redis_url)}")
    if starts_livekit:
        port = port_of(settings.livekit_url, 7880)
        processes.append(_livekit(port, node_ip, told, folder, find))
    else:
        used.append(f"LiveKit at {settings.livekit_url}")
    ours = [_worker(settings, told), _token_service(settings, told)]
    if network is not None:
        ours.append(_caddy(network, settings, told, folder, find))
    servers_and_ours = _ordered(processes, ours)
    return Plan(settings, servers_and_ours, used, node_ip, network, launch.livekit_redis)


def _ordered(servers: list[Process], ours: list[Process]) -> list[Process]:
    """Each server after those before it and until those behind it have ended; ours after all.

    But the worker at once: it imports for seconds before it needs any of them, and waits itself.
    """
    chained = [
        replace(
            server,
            after=tuple(_addresses(servers[:number])),
            outlive=tuple(_addresses([*servers[number + 1 :], *ours])),
        )
        for number, server in enumerate(servers)
    ]
    worker, *rest = ours
    return [*chained, worker, *(replace(each, after=tuple(_addresses(servers))) for each in rest)]


def _launch() -> Launch:
    try:
        return Launch()
    except ValidationError as error:
        raise InvalidInput(f"settings: {explain(error)}") from error


def _follow(settings: Settings, launch: Launch) -> tuple[Settings, bool, bool]:
    """Let addresses follow the ports; say whether LiveKit and redis are ours to start."""
    given = settings.model_fields_set
    change: dict[str, str] = {}
    starts_livekit = starts_redis = True
    if launch.livekit_port is not None and "livekit_url" not in given:
        change["livekit_url"] = f"ws://{livekit_config.LOOPBACK}:{launch.livekit_port}"
    elif "livekit_url" in given:
        starts_livekit = _ours(settings.livekit_url, 7880)
    if "livekit_public_url" not in given:
        url = change.get("livekit_url", settings.livekit_url)
        change["livekit_public_url"] = url.replace("http", "ws", 1) if url[0] == "h" else url
    if "redis_url" in given:
        starts_redis = _ours(settings.redis_url, 6379)
    else:
        change["redis_url"] = f"redis://{livekit_config.LOOPBACK}:{_redis_port(launch)}/0"
    return settings.model_copy(update=change), starts_livekit, starts_redis


def _ours(url: str, default_port: int) -> bool:
    """An address on this machine where nobody listens yet."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", port_of(url, default_port)
    if host == "::1" and is_free(Port(port, "", "", host)):
        raise InvalidInput(
            f"{without_password(url)}: make run starts that server on 127.0.0.1; "
            f"expected {parts.scheme}://127.0.0.1:{port}"
        )
    return host in LOOPBACK_HOSTS and host != "::1" and is_free(Port(port, "", ""))


def _redis_port(launch: Launch) -> int:
    if launch.redis_port is not None:
        return launch.redis_port
    free = (number for number in REDIS_PORTS if is_free(Port(number, "", "")))
    return next(free, REDIS_PORTS[0])


def _told(settings: Settings, terminal: bool) -> dict[str, str]:
    """What every process of ours is told beyond what the person set."""
    told = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_PUBLIC_URL": settings.livekit_public_url,
        "REDIS_URL": settings.redis_url,
        "PYTHONUNBUFFERED": "1",
    }
    if terminal and "log_format" not in settings.model_fields_set:
        told["LOG_FORMAT"] = "console"
    if "drain_grace_s" not in settings.model_fields_set:
        told["DRAIN_GRACE_S"] = str(DRAIN_GRACE_S)
    return told


def _redis(
    settings: Settings, told: dict[str, str], folder: Path, find: Callable[[str], Path]
) -> Process:
    number = port_of(settings.redis_url, 6379)
    command = [str(find("redis-server")), "--port", str(number)]
    command += ["--bind", livekit_config.LOOPBACK, "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return Process("redis", command, _without_ours(told), [Port(number, "redis", "REDIS_PORT")])


def _livekit(
    port: int, node_ip: str, told: dict[str, str], folder: Path, find: Callable[[str], Path]
) -> Process:
    command = [str(find("livekit-server")), "--config", str(livekit_config.file_in(folder, port))]
    moves = "LIVEKIT_PORT"
    tcp, udp = livekit_config.tcp_port(port), livekit_config.udp_port(port)
    ports = [
        Port(port, "LiveKit", moves),
        Port(tcp, "LiveKit's media", moves, livekit_config.TCP_HOST),
        Port(udp, "LiveKit's media", moves, livekit_config.udp_host(node_ip), "udp"),
    ]
    return Process("livekit", command, _without_ours(told), ports)


def _caddy(
    network: Lan,
    settings: Settings,
    told: dict[str, str],
    folder: Path,
    find: Callable[[str], Path],
) -> Process:
    command = [str(find("caddy")), "run", "--config", str(local_network.CONFIGURATION)]
    command += ["--adapter", "caddyfile"]
    ports = [
        Port(network.https_port, "page over https", "HTTPS_PORT", network.host),
        Port(network.port, "how to trust it", "PORT", network.host),
    ]
    livekit_port = port_of(settings.livekit_url, 7880)
    environment = _without_ours(told) | network.environment(folder, livekit_port)
    return Process("caddy", command, environment, ports)


def _without_ours(told: dict[str, str]) -> dict[str, str]:
    """For programs that read such variables as theirs, and need no key of ours."""
    return {name: told[name] for name in told if not name.startswith(LIVEKIT_VARIABLES)}


def _worker(settings: Settings, told: dict[str, str]) -> Process:
    ports = [
        Port(
            settings.worker_port,
            "worker's health",
            "WORKER_PORT",
            settings.worker_host,
            host_setting="WORKER_HOST",
        )
    ]
    return Process("worker", [sys.executable, "-m", "worker"], told, ports)


def _token_service(settings: Settings, told: dict[str, str]) -> Process:
    ports = [Port(settings.port, "page and token service", "PORT", settings.host)]
    command = [sys.executable, "-m", "token_service"]
    return Process("token_service", command, told, ports)


def _addresses(processes: list[Process]) -> list[str]:
    return [f"{process.ports[0].host}:{process.ports[0].number}" for process in processes]


def port_of(url: str, default: int) -> int:
    return urlsplit(url).port or default
