"""Doctor: a host for docker compose, with a docker of the test's own on PATH."""

import re
import socket
from pathlib import Path

import pytest

from deploy import compose
from deploy.doctor import docker, media_address, network, tools
from deploy.doctor.finding import Finding, State
from deploy.installers import PROJECT
from deploy.launch.ports import Port
from harness.servers import GivenSettings, free_port
from protocol.errors import InvalidInput

KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret"}
INFO = '{"runc":{},"nvidia":{}}'


def told(findings: list[Finding]) -> list[tuple[str, State]]:
    """Return code and state of each finding."""
    return [(each.code, each.state) for each in findings]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set PATH to an empty folder; return it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, script: str) -> None:
    """Write a docker that runs a script."""
    (path / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (path / "docker").chmod(0o755)


def test_a_docker_with_nvidias_runtime_is_ok(path: Path) -> None:
    """A docker with compose and NVIDIA's runtime is OK."""
    program(path, f"case $1 in compose) echo 2.39.1;; info) echo '{INFO}';; esac")

    assert told(docker.docker()) == [("docker.ok", State.OK)]


@pytest.mark.parametrize("runtimes", ['{"runc":{}}', "null", "no json"])
def test_a_docker_without_nvidias_toolkit_is_a_warning(path: Path, runtimes: str) -> None:
    """A docker without NVIDIA's runtime is a warning, as the worker would get no GPU."""
    program(path, f"case $1 in compose) echo 2.39.1;; info) echo '{runtimes}';; esac")

    assert told(docker.docker()) == [("docker.ok", State.OK), ("docker.no_gpu", State.WARN)]


def test_a_docker_for_the_cpu_needs_no_nvidia_runtime(path: Path) -> None:
    """A docker without NVIDIA's runtime is OK with DEVICE=cpu."""
    program(path, "case $1 in compose) echo 2.39.1;; info) echo '{}';; esac")

    assert told(docker.docker(on_gpu=False)) == [("docker.ok", State.OK)]


def test_a_toolkit_without_a_runtime_is_enough(path: Path) -> None:
    """The hook of NVIDIA's toolkit is enough without a runtime."""
    program(path, "case $1 in compose) echo 2.39.1;; info) echo '{}';; esac")
    (path / docker.HOOK).touch(mode=0o755)

    assert told(docker.docker()) == [("docker.ok", State.OK)]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (None, "docker.missing"),
        ("exit 1", "docker.no_compose"),
        ("[ $1 = compose ]", "docker.away"),
        ("while :; do :; done", "docker.away"),
    ],
)
def test_a_docker_that_cannot_be_used_is_a_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, code: str
) -> None:
    """A docker that is missing, lacks compose, has no engine or hangs is a failure."""
    monkeypatch.setattr(docker, "WITHIN_S", 0.3)
    if script is not None:
        program(path, script)

    assert told(docker.docker()) == [(code, State.FAIL)]


def test_room_for_images_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the images is asked for: enough is OK, too little a failure."""
    monkeypatch.setattr(docker, "IMAGES_BYTES", 1)

    assert told([docker.disk(0), docker.disk(1 << 60)]) == [
        ("disk.ok", State.OK),
        ("disk.small", State.FAIL),
    ]


def test_too_little_room_for_built_images_is_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room for images that are built is a warning."""
    monkeypatch.setattr(docker, "IMAGES_BYTES", 1 << 60)
    program(path, f"[ $1 = info ] && echo {path} || [ $1$2$3 = imageinspect{docker.IMAGE} ]")

    assert told([docker.disk(0)]) == [("disk.small", State.WARN)]


def test_room_is_checked_in_dockers_data_folder(path: Path, tmp_path: Path) -> None:
    """Room is looked for in the folder that `docker info` names."""
    program(path, f"echo {tmp_path}/data")

    assert f"in {tmp_path}/data, " in docker.disk(0).found


@pytest.mark.parametrize(
    ("domain", "node_ip", "expected"),
    [
        ("localhost", "", [("media_address.ok", State.OK)]),
        ("localhost:8443", "127.0.0.1", [("media_address.ok", State.OK)]),
        ("203.0.113.7", "203.0.113.7", [("media_address.ok", State.OK)]),
        ("203.0.113.7", "203.0.113.8", [("media_address.differs", State.WARN)]),
        ("203.0.113.7", "", [("media_address.inner", State.WARN)]),
        ("203.0.113.7", "talk.example.com", [("media_address.wrong", State.FAIL)]),
        ("rooms.invalid", "", []),
    ],
)
def test_the_announced_address_has_to_fit_the_domain(
    domain: str, node_ip: str, expected: list[tuple[str, State]]
) -> None:
    """The address that LiveKit announces fits the domain, or the finding is a warning."""
    assert told(media_address.media_address(domain, node_ip)) == expected


@pytest.mark.parametrize(
    ("domain", "node_ip", "expected"),
    [
        ("localhost", "", ("media_address.ok", State.OK)),
        ("talk.example.com", "", ("media_address.hidden", State.WARN)),
        ("talk.example.com", "203.0.113.7", ("media_address.ok", State.OK)),
    ],
)
def test_a_domain_of_the_loopback_is_no_address_for_media(
    monkeypatch: pytest.MonkeyPatch, domain: str, node_ip: str, expected: tuple[str, State]
) -> None:
    """Where /etc/hosts leads the domain to the loopback, no line makes that media's address."""
    resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: resolved)
    [finding] = media_address.media_address(domain, node_ip)

    assert told([finding]) == [expected]
    assert "NODE_IP=127" not in finding.advice
    assert "told 127" not in finding.found


@pytest.mark.parametrize("given", ["https://talk.example.com", "talk.example.com/", "talk example"])
def test_a_domain_is_a_name(given: str) -> None:
    """A DOMAIN that is no name, with a port at most, is refused by its own name and value."""
    with pytest.raises(InvalidInput, match=f"^DOMAIN='{given}': expected a name alone"):
        compose.environment("token_service", KEYS | {"DOMAIN": given, "AUTH_MODE": "open"})


def test_a_profile_that_no_service_has_is_refused() -> None:
    """A profile that no service has is refused with those that there are."""
    with pytest.raises(InvalidInput, match="COMPOSE_PROFILES='second_gpu': expected second-gpu"):
        compose.services({"COMPOSE_PROFILES": "second_gpu"})


def test_with_the_cpu_file_no_gpu_is_reserved() -> None:
    """With the CPU's compose file no GPU is reserved, and DEVICE is cpu."""
    given = {"COMPOSE_FILE": f"{compose.FILE}:{compose.CPU_FILE}", "COMPOSE_PROFILES": "second-gpu"}

    resets = re.findall(r"^(?!#).*!reset|[&*]\w+", (PROJECT / compose.CPU_FILE).read_text(), re.M)

    assert resets == ["    deploy: !reset"] * 2  # compose follows no alias to it
    for name in ("worker", "second_worker"):
        assert compose.services(given)[name]["deploy"] is None
        assert compose.services(given)[name]["environment"]["DEVICE"] == "cpu"
    assert compose.services()["worker"]["environment"]["DEVICE"] == "cuda"


def test_settings_that_reach_no_container_are_told() -> None:
    """A setting in `.env` that compose sets itself, or passes to no service, is a warning."""
    written = ["MODEL", "LIVEKIT_API_KEY", "LOG_LEVEL", "DOMAIN", "PORT", "PERSONAS_DIR", "DEVICE"]
    unused = compose.unused(written, {})

    assert unused == ["PORT", "PERSONAS_DIR", "DEVICE"]
    assert told(docker.unused(unused)) == [("settings.unused", State.WARN)]
    assert docker.unused([]) == []


def test_an_operators_own_compose_file_is_read(tmp_path: Path) -> None:
    """A file in any form that compose takes is merged; an empty COMPOSE_FILE names none."""
    own = tmp_path / "own.yml"
    own.write_text(
        "services:\n"
        "  worker: { environment: [CAPACITY=3, WEATHER_KEY] }\n"
        "  token_service: { environment: }\n"
        "  redis:\n"
        "  mine: { image: x, ports: !override ['80:80'] }\n"
    )
    volumes = tmp_path / "volumes.yml"
    volumes.write_text("volumes: { more: {} }\n")
    merged = compose.services({"COMPOSE_FILE": f"{compose.FILE}:{own}:{volumes}"})

    assert merged["worker"]["environment"]["CAPACITY"] == "3"
    assert merged["worker"]["environment"]["WEATHER_KEY"] is None
    assert merged["token_service"]["environment"]["PORT"] == "8080"
    assert merged["mine"]["image"] == "x"
    assert compose.services({"COMPOSE_FILE": ""}) == compose.services()


@pytest.mark.parametrize("name", compose.OVERRIDES)
def test_an_override_is_read_where_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The file that compose reads by itself is merged, but not where COMPOSE_FILE is set."""
    monkeypatch.setattr(compose, "PROJECT", tmp_path)
    (tmp_path / compose.FILE).write_text((PROJECT / compose.FILE).read_text())
    (tmp_path / name).write_text("services: { worker: { environment: { DEVICE: cpu } } }")
    by_itself, unnamed = compose.services(), compose.services({"COMPOSE_FILE": compose.FILE})

    assert by_itself["worker"]["environment"]["DEVICE"] == "cpu"
    assert unnamed["worker"]["environment"]["DEVICE"] == "cuda"
    assert by_itself.keys() == unnamed.keys()


def test_of_several_overrides_the_first_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose reads one override, in the order in which it looks for the names."""
    monkeypatch.setattr(compose, "PROJECT", tmp_path)
    (tmp_path / compose.FILE).write_text((PROJECT / compose.FILE).read_text())
    for name in reversed(compose.OVERRIDES):
        text = f"services: {{ worker: {{ environment: {{ READ: {name} }} }} }}"
        (tmp_path / name).write_text(text)

    assert compose.services()["worker"]["environment"]["READ"] == "compose.override.yml"


@pytest.mark.parametrize("text", [None, "services: [", "services: text"])
def test_a_compose_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    """A file of COMPOSE_FILE that is missing or no compose file is refused with its name."""
    wrong = tmp_path / "wrong.yml"
    if text is not None:
        wrong.write_text(text)
    with pytest.raises(InvalidInput, match=f"COMPOSE_FILE: {wrong}: "):
        compose.services({"COMPOSE_FILE": f"{compose.FILE}:{wrong}"})


def test_one_setting_starts_a_second_worker() -> None:
    """`COMPOSE_PROFILES=second-gpu` starts a second worker with its own card and port."""
    one, both = (compose.services(each) for each in ({}, {"COMPOSE_PROFILES": "second-gpu"}))
    cards = [
        both[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name in ("worker", "second_worker")
    ]

    assert set(both) - set(one) == {"second_worker"}
    assert cards == [["0"], ["1"]]
    assert both["second_worker"]["environment"]["WORKER_PORT"] == "8082"


def test_caddy_is_installed_or_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Caddy that is not installed is a warning, an installed one is OK."""
    monkeypatch.setenv("CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    to_come = tools.caddy()
    [installed] = [tmp_path / "caddy-2.11.7" / "bin"]
    installed.mkdir(parents=True)
    (installed / "caddy").touch()

    assert told([to_come, tools.caddy()]) == [
        ("caddy.to_install", State.WARN),
        ("caddy.ok", State.OK),
    ]


def test_a_port_with_an_unseen_holder_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port whose holder this user cannot see is a warning."""
    monkeypatch.setattr(network, "is_free", lambda _: False)
    monkeypatch.setattr(network, "holder", lambda _: network.STRANGER)

    assert told(network.ports([Port(free_port(), "LiveKit", "")])) == [("ports.unseen", State.WARN)]


def test_a_port_that_only_root_may_open_is_free_without_a_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port that only root may open is free if nothing listens there."""
    monkeypatch.setattr(network, "is_free", lambda _: False)
    monkeypatch.setattr(network, "holder", lambda _: network.SYSTEM)

    assert told(network.ports([Port(free_port(), "page over https", "")])) == [
        ("ports.free", State.OK)
    ]


def test_a_required_variable_is_asked_for() -> None:
    """A variable that compose requires is refused by name if it is not set."""
    with pytest.raises(InvalidInput, match=r"AUTH_MODE is not set: .* who may talk"):
        compose.environment("token_service", {"DOMAIN": "talk.example"} | KEYS)


def test_the_ports_of_the_plan_are_those_of_the_files() -> None:
    """The ports of the plan stand in the compose files, Caddyfile and livekit.yaml."""
    watched = "docker-compose.observability.yml"
    names = (compose.FILE, watched, "livekit.yaml", "README.md", "docs/observability.md")
    text = "".join((PROJECT / name).read_text() for name in names)
    services = compose.services({"COMPOSE_FILE": f"{compose.FILE}:{watched}"})
    made = compose.plan(GivenSettings(), "192.0.2.7", services)
    tcp = {port.number for port in made.ports if port.protocol == "tcp"}
    udp = [port.number for port in made.ports if port.protocol == "udp"]

    assert [number for number in tcp if str(number) not in text] == []
    assert f"udp_port: {udp[0]}-{udp[-1]} " in text.replace("\n", " ")
    assert {process.name for process in made.processes} == set(services)
