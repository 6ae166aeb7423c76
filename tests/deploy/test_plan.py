"""The plan of `make run`, from settings alone."""

import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.launch import plan
from deploy.launch.plan import Plan
from harness.servers import GivenSettings, free_port
from protocol.errors import InvalidInput


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's settings."""
    for name in ("LIVEKIT_PORT", "LIVEKIT_REDIS", "REDIS_PORT", "NODE_IP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(plan.Launch.model_config, "env_file", None)


def planned(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Plan:
    """Return the plan for these settings."""
    monkeypatch.setattr(plan, "load_settings", lambda: GivenSettings(**given))
    return plan.make_plan({"PATH": "/bin"}, Path("var"), terminal=True)


def names(made: Plan) -> list[str]:
    """Return the names of the processes in the order of their start."""
    return [process.name for process in made.processes]


def test_starts_everything_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default four processes are started, servers first."""
    assert names(planned(monkeypatch)) == ["redis", "livekit", "worker", "token_service"]


def test_addresses_follow_the_livekit_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """LIVEKIT_PORT moves the server and both URLs of it."""
    monkeypatch.setenv("LIVEKIT_PORT", "17880")
    made = planned(monkeypatch)

    assert made.settings.livekit_url == "ws://127.0.0.1:17880"
    assert made.settings.livekit_public_url == "ws://127.0.0.1:17880"
    assert made.livekit_config is not None
    assert made.livekit_config["port"] == 17880


def test_addresses_follow_the_redis_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_PORT moves the server and its URL, LiveKit's as well with LIVEKIT_REDIS."""
    monkeypatch.setenv("REDIS_PORT", "16379")
    monkeypatch.setenv("LIVEKIT_REDIS", "true")
    made = planned(monkeypatch)

    assert made.settings.redis_url == "redis://127.0.0.1:16379/0"
    assert made.livekit_config is not None
    assert made.livekit_config["redis"] == {"address": "127.0.0.1:16379"}


def test_livekit_has_no_redis_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LIVEKIT_REDIS LiveKit is configured without redis."""
    made = planned(monkeypatch)

    assert made.livekit_config is not None
    assert "redis" not in made.livekit_config


def test_redis_avoids_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without REDIS_PORT a port that is in use is avoided."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(plan, "REDIS_PORTS", (taken, taken + 1, taken + 2))
        made = planned(monkeypatch)

    assert made.settings.redis_url != f"redis://127.0.0.1:{taken}/0"
    assert made.processes[0].name == "redis"


def test_a_livekit_elsewhere_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiveKit on another machine is used, and browsers connect to it."""
    made = planned(monkeypatch, livekit_url="wss://livekit.example.com")

    assert names(made) == ["redis", "worker", "token_service"]
    assert made.used == ["LiveKit at wss://livekit.example.com"]
    assert made.settings.livekit_public_url == "wss://livekit.example.com"


def test_the_public_url_of_an_https_address_is_wss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public URL of a LiveKit at https is wss."""
    made = planned(monkeypatch, livekit_url="https://livekit.example.com")

    assert made.settings.livekit_public_url == "wss://livekit.example.com"


def test_a_redis_that_runs_already_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis at REDIS_URL that runs already is used."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = planned(monkeypatch, redis_url=f"redis://:secret@127.0.0.1:{port}/1")

    assert names(made) == ["livekit", "worker", "token_service"]
    assert made.used == [f"redis at redis://127.0.0.1:{port}"]


def test_a_named_redis_that_does_not_run_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis at REDIS_URL on this machine that does not run is started."""
    port = free_port()
    made = planned(monkeypatch, redis_url=f"redis://localhost:{port}/0")

    assert names(made)[0] == "redis"
    assert made.processes[0].ports[0].number == port


def test_livekit_gets_no_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """livekit-server gets no variable of the environment that would overrule its file."""
    monkeypatch.setattr(plan, "load_settings", GivenSettings)
    environment = {"LIVEKIT_KEYS": "a: b", "NODE_IP": "10.0.0.1", "HOME": "/home/me"}
    made = plan.make_plan(environment, Path("var"), terminal=True)

    assert made.processes[1].environment == {
        "HOME": "/home/me",
        "PYTHONUNBUFFERED": "1",
        "LOG_FORMAT": "console",
        "DRAIN_GRACE_S": "1.0",
    }


def test_given_settings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are given win over the launcher's own defaults."""
    made = planned(monkeypatch, log_format="json", drain_grace_s=7.0)

    assert "LOG_FORMAT" not in made.processes[-1].environment
    assert "DRAIN_GRACE_S" not in made.processes[-1].environment


@pytest.mark.parametrize(
    ("own_ip", "node_ip", "addresses", "udp_host"),
    [
        ("192.168.1.5", "", ["127.0.0.1/32", "192.168.1.5/32"], "0.0.0.0"),
        ("192.168.1.5", "127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "", None, "127.0.0.1"),  # no network
    ],
)
def test_media_are_at_this_machines_own_address_too(
    monkeypatch: pytest.MonkeyPatch,
    own_ip: str,
    node_ip: str,
    addresses: list[str] | None,
    udp_host: str,
) -> None:
    """Media are at the loopback and at this machine's own address, unless NODE_IP says which."""
    monkeypatch.setattr(plan.local_network, "own_address", lambda: own_ip)
    monkeypatch.setenv("NODE_IP", node_ip)
    made = planned(monkeypatch)
    (udp,) = (port for port in made.ports if port.protocol == "udp")

    assert made.livekit_config is not None
    rtc = made.livekit_config["rtc"]
    assert udp.host == udp_host
    assert rtc["enable_loopback_candidate"]
    assert rtc.get("ips", {}).get("includes") == addresses
    assert ("interfaces" in rtc, "node_ip" in rtc) == (addresses is None, addresses is None)


def test_a_routers_address_is_announced_and_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router's address as NODE_IP is announced by LiveKit, and no port is opened on it."""
    monkeypatch.setenv("NODE_IP", "203.0.113.7")
    made = planned(monkeypatch)
    media = [port.host for port in made.processes[1].ports if port.use == "LiveKit's media"]

    assert made.livekit_config is not None
    assert made.livekit_config["rtc"]["node_ip"] == "203.0.113.7"
    assert media == ["0.0.0.0", "0.0.0.0"]


def test_a_name_is_no_node_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NODE_IP that is no IP address is refused."""
    monkeypatch.setenv("NODE_IP", "router")

    with pytest.raises(InvalidInput, match="NODE_IP='router': value is not a valid IPv4 or IPv6"):
        planned(monkeypatch)


def test_the_webhook_leads_to_the_token_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit's webhook goes to the token service's port."""
    made = planned(monkeypatch, port=9090)

    assert made.livekit_config is not None
    assert made.livekit_config["webhook"] == {
        "api_key": "devkey",
        "urls": ["http://127.0.0.1:9090/webhook"],
    }


def test_servers_end_after_processes_that_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit ends after worker and token service, and redis after LiveKit."""
    monkeypatch.setenv("LIVEKIT_PORT", "9092")
    made = planned(monkeypatch, port=9090, worker_port=9091)

    assert [process.outlive for process in made.processes] == [
        ("127.0.0.1:9092", "127.0.0.1:9091", "127.0.0.1:9090"),
        ("127.0.0.1:9091", "127.0.0.1:9090"),
        (),
        (),
    ]


def test_only_the_worker_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit starts after redis, the token service after both, the worker without waiting."""
    monkeypatch.setenv("LIVEKIT_PORT", "9092")
    monkeypatch.setenv("REDIS_PORT", "9093")
    made = planned(monkeypatch)

    assert [process.after for process in made.processes] == [
        (),
        ("127.0.0.1:9093",),
        (),
        ("127.0.0.1:9093", "127.0.0.1:9092"),
    ]


def test_the_address_of_a_service_for_all_is_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed address of a service on 0.0.0.0 is localhost."""
    made = planned(monkeypatch, host="0.0.0.0", port=9090, livekit_public_url="wss://talk.example")

    assert made.address == "http://localhost:9090"
