"""Doctor: a host for docker compose, with a docker of the test's own on PATH."""

import re
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
    """A PATH with nothing on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, script: str) -> None:
    """A docker that answers as a script says."""
    (path / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (path / "docker").chmod(0o755)


def test_a_docker_that_hands_on_gpus(path: Path) -> None:
    """Engine, compose and NVIDIA's runtime."""
    program(path, f"case $1 in compose) echo 2.39.1;; info) echo '{INFO}';; esac")

    assert told(docker.docker()) == [("docker.ok", State.OK)]


@pytest.mark.parametrize("runtimes", ['{"runc":{}}', "null", "no json"])
def test_a_docker_without_nvidias_toolkit(path: Path, runtimes: str) -> None:
    """The worker would get no GPU."""
    program(path, f"case $1 in compose) echo 2.39.1;; info) echo '{runtimes}';; esac")

    assert told(docker.docker()) == [("docker.ok", State.OK), ("docker.no_gpu", State.WARN)]


def test_a_docker_that_needs_to_hand_on_none(path: Path) -> None:
    """With DEVICE=cpu no toolkit is asked for."""
    program(path, "case $1 in compose) echo 2.39.1;; info) echo '{}';; esac")

    assert told(docker.docker(on_gpu=False)) == [("docker.ok", State.OK)]


def test_a_toolkit_without_a_runtime_is_enough(path: Path) -> None:
    """Its hook is how docker hands on a reserved GPU."""
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
def test_a_docker_that_is_of_no_use(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, code: str
) -> None:
    """Not there, without compose, without an engine for this user, or hanging."""
    monkeypatch.setattr(docker, "WITHIN_S", 0.3)
    if script is not None:
        program(path, script)

    assert told(docker.docker()) == [(code, State.FAIL)]


def test_room_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where docker keeps them."""
    monkeypatch.setattr(docker, "IMAGES_BYTES", 1)

    assert told([docker.disk(0), docker.disk(1 << 60)]) == [
        ("disk.ok", State.OK),
        ("disk.small", State.FAIL),
    ]


def test_room_for_images_that_are_built(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start needs no more of it: only an update may."""
    monkeypatch.setattr(docker, "IMAGES_BYTES", 1 << 60)
    program(path, f"[ $1 = info ] && echo {path} || [ $1$2$3 = imageinspect{docker.IMAGE} ]")

    assert told([docker.disk(0)]) == [("disk.small", State.WARN)]


def test_room_is_looked_for_where_the_engine_keeps_its_data(path: Path, tmp_path: Path) -> None:
    """The folder that `docker info` names."""
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
        ("rooms.invalid", "", []),
    ],
)
def test_the_address_that_browsers_are_told(
    domain: str, node_ip: str, expected: list[tuple[str, State]]
) -> None:
    """LiveKit names the address where the domain leads, or the finding says what to set."""
    assert told(media_address.media_address(domain, node_ip)) == expected


def test_the_cpu_file_takes_the_gpu_away() -> None:
    """`COMPOSE_FILE` names it in `.env`: no GPU is reserved, and DEVICE is cpu."""
    given = {"COMPOSE_FILE": f"{compose.FILE}:{compose.CPU_FILE}", "COMPOSE_PROFILES": "second-gpu"}

    resets = re.findall(r"^(?!#).*!reset|[&*]\w+", (PROJECT / compose.CPU_FILE).read_text(), re.M)

    assert resets == ["    deploy: !reset"] * 2  # where it stands: compose follows no alias to one
    for name in ("worker", "second_worker"):
        assert compose.services(given)[name]["deploy"] is None
        assert compose.services(given)[name]["environment"]["DEVICE"] == "cpu"
    assert compose.services()["worker"]["environment"]["DEVICE"] == "cuda"


def test_a_second_gpu_is_one_line() -> None:
    """`COMPOSE_PROFILES=second-gpu` in `.env` starts a second worker, on its own card and port."""
    one, both = (compose.services(each) for each in ({}, {"COMPOSE_PROFILES": "second-gpu"}))
    cards = [
        both[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name in ("worker", "second_worker")
    ]

    assert set(both) - set(one) == {"second_worker"}
    assert cards == [["0"], ["1"]]
    assert both["second_worker"]["environment"]["WORKER_PORT"] == "8082"


def test_caddy_is_there_or_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For https in a local network."""
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


def test_a_port_that_compose_may_hold_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who cannot see the holder is not told to end it."""
    monkeypatch.setattr(network, "is_free", lambda _: False)
    monkeypatch.setattr(network, "holder", lambda _: network.STRANGER)

    assert told(network.ports([Port(free_port(), "LiveKit", "")])) == [("ports.unseen", State.WARN)]


def test_a_port_that_only_root_may_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a listener the port is free."""
    monkeypatch.setattr(network, "is_free", lambda _: False)
    monkeypatch.setattr(network, "holder", lambda _: network.SYSTEM)

    assert told(network.ports([Port(free_port(), "page over https", "")])) == [
        ("ports.free", State.OK)
    ]


def test_what_compose_leaves_open_is_asked_for() -> None:
    """A variable that has to be set is named with what it is for."""
    with pytest.raises(InvalidInput, match=r"AUTH_MODE is not set: .* who may talk"):
        compose.environment("token_service", {"DOMAIN": "talk.example"} | KEYS)


def test_the_ports_of_the_plan_are_those_of_the_files() -> None:
    """Numbers in docker-compose.yml, Caddyfile and livekit.yaml, and no others."""
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
