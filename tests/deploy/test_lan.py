"""`make run HOST=…`: the plan for a local network, and the files for it."""

from pathlib import Path
from typing import Any

import pytest

from deploy.lan import welcome
from deploy.lan.local_network import Lan, own_address
from deploy.launch import plan
from deploy.launch.announce import for_the_network
from deploy.launch.plan import Plan
from deploy.launch.ports import taken
from harness.servers import GivenSettings
from protocol.config.settings import DEVELOPMENT_KEY, DEVELOPMENT_SECRET
from protocol.errors import InvalidInput

HOME = "192.168.1.5"
ELSEWHERE = "100.127.255.254"  # a carrier's: private, and hardly the one of a test's machine
OWN = {"livekit_api_key": "rooms", "livekit_api_secret": "s" * 32}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's settings out of the tests."""
    for name in ("LIVEKIT_PORT", "REDIS_PORT", "NODE_IP", "HTTPS_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(plan.Launch.model_config, "env_file", None)


def planned(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Plan:
    """The plan for these settings."""
    monkeypatch.setattr(plan, "load_settings", lambda: GivenSettings(**given))
    return plan.make_plan({"PATH": "/bin"}, Path("var"), terminal=True, find=Path)


def told(made: Plan, name: str) -> dict[str, str]:
    """The environment of a process."""
    [process] = [each for each in made.processes if each.name == name]
    return process.environment


def test_the_network_comes_in_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy listens on the address; page, wss and media have it; our services stay at home."""
    made = planned(monkeypatch, host=HOME)

    assert made.address == f"https://{HOME}:8443"
    assert made.settings.livekit_public_url == f"wss://{HOME}:8443"
    assert made.node_ip == HOME
    assert told(made, "token_service")["HOST"] == "127.0.0.1"
    assert [(port.host, port.number) for port in made.processes[-1].ports] == [
        (HOME, 8443),
        (HOME, 8080),
    ]


def test_a_network_never_gets_the_development_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for this run takes its place, the same for LiveKit and our processes."""
    first, second = planned(monkeypatch, host=HOME), planned(monkeypatch, host=HOME)
    assert first.livekit_config is not None
    [(key, secret)] = first.livekit_config["keys"].items()
    worker = told(first, "worker")

    assert (worker["LIVEKIT_API_KEY"], worker["LIVEKIT_API_SECRET"]) == (key, secret)
    assert key != DEVELOPMENT_KEY and secret != DEVELOPMENT_SECRET
    assert first.settings.livekit_api_secret != second.settings.livekit_api_secret
    assert not any("SECRET" in name for name in told(first, "caddy") | told(first, "redis"))


def test_keys_of_ones_own_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of `make keys` stay in use."""
    made = planned(monkeypatch, host=HOME, **OWN)

    assert told(made, "worker")["LIVEKIT_API_SECRET"] == OWN["livekit_api_secret"]


@pytest.mark.parametrize(
    ("chosen", "who"), [({}, "open"), ({"auth_mode": "loopback,open"}, "loopback,open")]
)
def test_who_may_talk(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], who: str) -> None:
    """The network may talk unless AUTH_MODE says otherwise."""
    assert told(planned(monkeypatch, host=HOME, **chosen), "token_service")["AUTH_MODE"] == who


def test_a_livekit_elsewhere_is_reached_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the page is ours to put behind TLS."""
    made = planned(monkeypatch, host=HOME, livekit_url="wss://livekit.example.com", **OWN)

    assert made.settings.livekit_public_url == "wss://livekit.example.com"


def test_tls_of_ones_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LIVEKIT_PUBLIC_URL set, the operator has TLS in front already."""
    made = planned(monkeypatch, host=HOME, livekit_public_url="wss://talk.example", **OWN)

    assert made.lan is None
    assert "caddy" not in [process.name for process in made.processes]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"host": "0.0.0.0"}, "HOST='0.0.0.0': expected this machine's address in its private"),
        ({"host": "8.8.8.8"}, "a public address gets its certificate from Caddy"),
        ({"host": HOME, "production": True}, "with the development key"),
        ({"host": HOME, "livekit_url": "wss://livekit.example.com"}, "with the development key"),
        ({"host": HOME, "auth_mode": "loopback"}, "AUTH_MODE='loopback' with HOST='192.168.1.5'"),
    ],
)
def test_what_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    """Each with its setting, its value and what was expected."""
    with pytest.raises(InvalidInput, match=words):
        planned(monkeypatch, **given)


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("livekit_url", "ws://[::1]:17880", "ws://127.0.0.1:17880"),
        ("redis_url", "redis://:hush@[::1]:16379", "redis://127.0.0.1:16379"),
    ],
)
def test_what_make_run_starts_is_on_127(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, expected: str
) -> None:
    """A server that would be started elsewhere than it is looked for is refused, not awaited."""
    with pytest.raises(InvalidInput) as caught:
        planned(monkeypatch, **{name: url})

    shown = url.replace(":hush@", "")
    assert str(caught.value) == (
        f"{shown}: make run starts that server on 127.0.0.1; expected {expected}"
    )


def test_livekit_finds_the_service_on_the_other_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks go to where the token service listens."""
    config = planned(monkeypatch, host="::1").livekit_config

    assert config is not None
    assert config["webhook"]["urls"] == ["http://[::1]:8080/webhook"]


@pytest.mark.parametrize("name", ["HOST", "WORKER_HOST"])
def test_an_address_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The setting is named, its value, and the address of this machine, to be written instead."""
    made = planned(monkeypatch, **{name.lower(): ELSEWHERE})
    words = f"{name}='{ELSEWHERE}': expected an address of this machine, here {own_address()}"

    with pytest.raises(InvalidInput, match=words):
        taken(made.ports)


def test_what_caddy_serves_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The welcome shows address and fingerprint; its folder has the certificate without its key."""
    monkeypatch.setattr(welcome, "AUTHORITY", tmp_path / "authority")
    network = Lan(HOME, 8443, 8080)
    fingerprint = welcome.write_welcome(network, tmp_path)
    served = network.folder_in(tmp_path) / "welcome"
    text = "".join(path.read_text() for path in served.iterdir())

    assert sorted(path.name for path in served.iterdir()) == ["authority.crt", "index.html"]
    assert "PRIVATE KEY" not in text
    assert fingerprint in text and f'href="https://{HOME}:8443"' in text


def test_the_terminal_says_how_others_come_in() -> None:
    """A QR code, the address for who cannot scan, the fingerprint, and who may talk."""
    lines = for_the_network("http://192.168.1.5:8080", "AA:BB", "open")

    assert "█▀" in lines
    assert "http://192.168.1.5:8080" in lines and "AA:BB" in lines
    assert "Everybody in this network may talk" in lines
    assert "AUTH_MODE=api_keys" in for_the_network("http://x", "AA", "api_keys")
