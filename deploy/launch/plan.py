"""The plan of `make run`: processes, their order, their ports and their environment.

Made from settings alone; starts nothing. A LiveKit or redis that the settings name is used and not
started if it runs already or is on another machine.
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
from protocol.config.setting_types import PortNumber
from protocol.config.settings import PROJECT, Settings, load_settings
from protocol.errors import InvalidInput, explain
from protocol.text import ENCODING

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
REDIS_PORTS = range(6379, 6400)  # the first free one: many machines run another redis
DRAIN_GRACE_S = 1.0  # in development no conversation has to end in peace
LIVEKIT_VARIABLES = ("LIVEKIT_", "NODE_IP", "UDP_PORT", "REDIS_")  # livekit-server reads these too


class Launch(BaseSettings):
    """Settings of `make run` alone: ports and an address of the servers that it starts."""

    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_file_encoding=ENCODING,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    livekit_port: PortNumber | None = None
    livekit_redis: bool = False  # keep LiveKit's rooms in redis: for SIP, ingress and egress
    redis_port: PortNumber | None = None
    https_port: PortNumber = 8443  # of the page if HOST is an address of a local network
    # What LiveKit tells clients; default: follows HOST, on this machine also its own address.
    node_ip: IPvAnyAddress | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised command. The first of its ports shows whether it runs.

    Addresses in `after` must answer before it starts, those in `outlive` be gone before it ends.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    ports: list[Port]
    after: tuple[str, ...] = ()
    outlive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The processes in the order of starting, and the servers that are used but not started."""

    settings: Settings
    processes: list[Process]
    used: list[str]
    node_ip: str
    own_ip: str = ""  # of this machine, where LiveKit names it beside the loopback
    lan: Lan | None = None  # None: for this machine, or behind the operator's own TLS
    livekit_redis: bool = False

    @property
    def ports(self) -> list[Port]:
        """Every port that will be bound."""
        return [port for process in self.processes for port in process.ports]

    @property
    def livekit_config(self) -> dict[str, Any] | None:
        """The configuration of the LiveKit that is started, with its secret; None: none is."""
        if not any(process.name == "livekit" for process in self.processes):
            return None
        quiet = self.settings.log_level != "debug"
        port = port_of(self.settings.livekit_url, 7880)
        return livekit_config.development(
            self.settings,
            port=port,
            node_ip=self.node_ip,
            own_ip=self.own_ip,
            quiet=quiet,
            redis=self.livekit_redis,
        )

    @property
    def address(self) -> str:
        """The page's address for a browser."""
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
    """Read all settings and plan the start. Raises `InvalidInput`; `find` may raise too.

    Servers write into `folder`. The log is for people on a `terminal`, else JSON. `find` returns a
    program and may build it.
    """
    loaded, launch = load_settings(), _launch_settings()
    settings, starts_livekit, starts_redis = _with_addresses(loaded, launch)
    lan = None
    if loaded.host not in LOOPBACK_HOSTS and "livekit_public_url" not in loaded.model_fields_set:
        settings, lan = local_network.open_to(
            settings, launch.https_port, starts_livekit=starts_livekit
        )
    media = _media_addresses(launch.node_ip, lan)
    ours = dict(environment) | _environment(settings, terminal)
    ours |= local_network.environment_of(lan, settings)
    theirs = {name: ours[name] for name in ours if not name.startswith(LIVEKIT_VARIABLES)}
    servers: list[Process] = []
    used: list[str] = []
    if starts_redis:
        servers.append(_redis(settings, theirs, folder, find))
    else:
        used.append(f"redis at {without_password(settings.redis_url)}")
    if starts_livekit:
        servers.append(_livekit(settings, media, theirs, folder, find))
    else:
        used.append(f"LiveKit at {settings.livekit_url}")
    services = [_worker(settings, ours), _token_service(settings, ours)]
    if lan is not None:
        services.append(_caddy(lan, settings, theirs, folder, find))
    return Plan(settings, _ordered(servers, services), used, *media, lan, launch.livekit_redis)


def _media_addresses(given: IPvAnyAddress | None, lan: Lan | None) -> tuple[str, str]:
    """Return the address of LiveKit's media, and this machine's own one beside the loopback."""
    if told := given or (lan and lan.host):
        return str(told), ""
    own_ip = local_network.own_address()
    return livekit_config.LOOPBACK, "" if own_ip == livekit_config.LOOPBACK else own_ip


def _ordered(servers: list[Process], services: list[Process]) -> list[Process]:
    """Start each server after the servers before it, and end it after everything behind it.

    Services start after all servers. Only the worker starts at once: it imports for seconds before
    it needs a server, and waits by itself.
    """
    chained = [
        replace(
            server,
            after=tuple(_addresses(servers[:number])),
            outlive=tuple(_addresses([*servers[number + 1 :], *services])),
        )
        for number, server in enumerate(servers)
    ]
    worker, *rest = services
    return [*chained, worker, *(replace(each, after=tuple(_addresses(servers))) for each in rest)]


def _launch_settings() -> Launch:
    try:
        return Launch()
    except ValidationError as error:
        raise InvalidInput(f"settings: {explain(error, are_settings=True)}") from error


def _with_addresses(settings: Settings, launch: Launch) -> tuple[Settings, bool, bool]:
    """Return settings whose addresses follow the ports, and whether to start LiveKit and redis."""
    given = settings.model_fields_set
    change: dict[str, str] = {}
    starts_livekit = starts_redis = True
    if launch.livekit_port is not None and "livekit_url" not in given:
        change["livekit_url"] = f"ws://{livekit_config.LOOPBACK}:{launch.livekit_port}"
    elif "livekit_url" in given:
        starts_livekit = _is_free_here(settings.livekit_url, 7880)
    if "livekit_public_url" not in given:
        url = change.get("livekit_url", settings.livekit_url)
        change["livekit_public_url"] = url.replace("http", "ws", 1) if url[0] == "h" else url
    if "redis_url" in given:
        starts_redis = _is_free_here(settings.redis_url, 6379)
    else:
        change["redis_url"] = f"redis://{livekit_config.LOOPBACK}:{_redis_port(launch)}/0"
    return settings.model_copy(update=change), starts_livekit, starts_redis


def _is_free_here(url: str, default_port: int) -> bool:
    """Return whether a URL names a port of this machine on which no process listens."""
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


def _environment(settings: Settings, terminal: bool) -> dict[str, str]:
    """Return the variables that every process of ours gets beyond the user's."""
    variables = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_PUBLIC_URL": settings.livekit_public_url,
        "REDIS_URL": settings.redis_url,
        "PYTHONUNBUFFERED": "1",
    }
    if terminal and "log_format" not in settings.model_fields_set:
        variables["LOG_FORMAT"] = "console"
    if "drain_grace_s" not in settings.model_fields_set:
        variables["DRAIN_GRACE_S"] = str(DRAIN_GRACE_S)
    return variables


def _redis(
    settings: Settings, environment: dict[str, str], folder: Path, find: Callable[[str], Path]
) -> Process:
    number = port_of(settings.redis_url, 6379)
    command = [str(find("redis-server")), "--port", str(number)]
    command += ["--bind", livekit_config.LOOPBACK, "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return Process("redis", command, environment, [Port(number, "redis", "REDIS_PORT")])


def _livekit(
    settings: Settings,
    media: tuple[str, str],
    environment: dict[str, str],
    folder: Path,
    find: Callable[[str], Path],
) -> Process:
    number, setting = port_of(settings.livekit_url, 7880), "LIVEKIT_PORT"
    config = livekit_config.file_in(folder, number)
    tcp, udp = livekit_config.tcp_port(number), livekit_config.udp_port(number)
    ports = [
        Port(number, "LiveKit", setting),
        Port(tcp, "LiveKit's media", setting, livekit_config.TCP_HOST),
        Port(udp, "LiveKit's media", setting, livekit_config.udp_host(*media), "udp"),
    ]
    command = [str(find("livekit-server")), "--config", str(config)]
    return Process("livekit", command, environment, ports)


def _caddy(
    lan: Lan,
    settings: Settings,
    environment: dict[str, str],
    folder: Path,
    find: Callable[[str], Path],
) -> Process:
    command = [str(find("caddy")), "run", "--config", str(local_network.CONFIGURATION)]
    command += ["--adapter", "caddyfile"]
    ports = [
        Port(lan.https_port, "page over https", "HTTPS_PORT", lan.host),
        Port(lan.port, "how to trust it", "PORT", lan.host),
    ]
    environment = environment | lan.environment(folder, port_of(settings.livekit_url, 7880))
    return Process("caddy", command, environment, ports)


def _worker(settings: Settings, environment: dict[str, str]) -> Process:
    host, use = settings.worker_host, "worker's health"
    ports = [Port(settings.worker_port, use, "WORKER_PORT", host, host_setting="WORKER_HOST")]
    return Process("worker", [sys.executable, "-m", "worker"], environment, ports)


def _token_service(settings: Settings, environment: dict[str, str]) -> Process:
    ports = [Port(settings.port, "page and token service", "PORT", settings.host)]
    command = [sys.executable, "-m", "token_service"]
    return Process("token_service", command, environment, ports)


def _addresses(processes: list[Process]) -> list[str]:
    return [f"{process.ports[0].host}:{process.ports[0].number}" for process in processes]


def port_of(url: str, default: int) -> int:
    """Return the port that a URL names."""
    return urlsplit(url).port or default
