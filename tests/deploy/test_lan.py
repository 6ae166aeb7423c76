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
ELSEWHERE = "100.127.255.254"  # a carrier's private address, which a test's machine hardly has
OWN = {"livekit_api_key": "rooms", "livekit_api_secret": "s" * 32}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's settings."""
    for name in ("LIVEKIT_PORT", "REDIS_PORT", "NODE_IP", "HTTPS_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(plan.Launch.model_config, "env_file", None)


def planned(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Plan:
    """Return the plan for these settings."""
    monkeypatch.setattr(plan, "load_settings", lambda: GivenSettings(**given))
    return plan.make_plan({"PATH": "/bin"}, Path("var"), terminal=True, find=Path)


def told(made: Plan, name: str) -> dict[str, str]:
    """Return the environment of a process."""
    [process] = [each for each in made.processes if each.name == name]
    return process.environment


def test_the_network_is_served_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy listens on the network's address over TLS, and our services on the loopback."""
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
    """In a network a new key takes the development key's place, for LiveKit and our processes."""
    first, second = planned(monkeypatch, host=HOME), planned(monkeypatch, host=HOME)
    assert first.livekit_config is not None
    [(key, secret)] = first.livekit_config["keys"].items()
    worker = told(first, "worker")

    assert (worker["LIVEKIT_API_KEY"], worker["LIVEKIT_API_SECRET"]) == (key, secret)
    assert key != DEVELOPMENT_KEY and secret != DEVELOPMENT_SECRET
    assert first.settings.livekit_api_secret != second.settings.livekit_api_secret
    assert not any("SECRET" in name for name in told(first, "caddy") | told(first, "redis"))


def test_own_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's own keys stay in use."""
    made = planned(monkeypatch, host=HOME, **OWN)

    assert told(made, "worker")["LIVEKIT_API_SECRET"] == OWN["livekit_api_secret"]


@pytest.mark.parametrize(
    ("chosen", "who"), [({}, "open"), ({"auth_mode": "loopback,open"}, "loopback,open")]
)
def test_everyone_in_the_network_may_talk_by_default(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], who: str
) -> None:
    """AUTH_MODE is `open` in a local network, unless it is set."""
    assert told(planned(monkeypatch, host=HOME, **chosen), "token_service")["AUTH_MODE"] == who


def test_a_livekit_elsewhere_keeps_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiveKit elsewhere keeps its own public URL."""
    made = planned(monkeypatch, host=HOME, livekit_url="wss://livekit.example.com", **OWN)

    assert made.settings.livekit_public_url == "wss://livekit.example.com"


def test_caddy_is_not_started_beside_a_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy is not started if LIVEKIT_PUBLIC_URL is set."""
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
def test_settings_that_cannot_work_are_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    """A setting that cannot work is refused with its value and what is expected."""
    with pytest.raises(InvalidInput, match=words):
        planned(monkeypatch, **given)


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("livekit_url", "ws://[::1]:17880", "ws://127.0.0.1:17880"),
        ("redis_url", "redis://:hush@[::1]:16379", "redis://127.0.0.1:16379"),
    ],
)
def test_servers_of_make_run_are_on_127(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, expected: str
) -> None:
    """A URL of a server that `make run` starts has to be on 127.0.0.1."""
    with pytest.raises(InvalidInput) as caught:
        planned(monkeypatch, **{name: url})

    shown = url.replace(":hush@", "")
    assert str(caught.value) == (
        f"{shown}: make run starts that server on 127.0.0.1; expected {expected}"
    )


def test_livekits_webhook_goes_to_the_other_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HOST=::1 LiveKit's webhook goes to [::1]."""
    config = planned(monkeypatch, host="::1").livekit_config

    assert config is not None
    assert config["webhook"]["urls"] == ["http://[::1]:8080/webhook"]


@pytest.mark.parametrize("name", ["HOST", "WORKER_HOST"])
def test_an_address_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An address of another machine is refused with the setting and this machine's address."""
    made = planned(monkeypatch, **{name.lower(): ELSEWHERE})
    words = f"{name}='{ELSEWHERE}': expected an address of this machine, here {own_address()}"

    with pytest.raises(InvalidInput, match=words):
        taken(made.ports)


def test_the_welcome_folder_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The welcome page has the address and the fingerprint, and its folder no private key."""
    monkeypatch.setattr(welcome, "AUTHORITY", tmp_path / "authority")
    network = Lan(HOME, 8443, 8080)
    fingerprint = welcome.write_welcome(network, tmp_path)
    served = network.folder_in(tmp_path) / "welcome"
    text = "".join(path.read_text() for path in served.iterdir())

    assert sorted(path.name for path in served.iterdir()) == ["authority.crt", "index.html"]
    assert "PRIVATE KEY" not in text
    assert fingerprint in text and f'href="https://{HOME}:8443"' in text


def test_the_terminal_shows_how_others_join() -> None:
    """The terminal shows a QR code, the address, the fingerprint and who may talk."""
    lines = for_the_network("http://192.168.1.5:8080", "AA:BB", "open")

    assert "█▀" in lines
    assert "http://192.168.1.5:8080" in lines and "AA:BB" in lines
    assert "Everybody in this network may talk" in lines
    assert "AUTH_MODE=api_keys" in for_the_network("http://x", "AA", "api_keys")
