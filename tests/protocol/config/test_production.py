"""Unsafe settings that are refused in production, and defaults that are enough in development."""

import os
import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from harness.fork_server import finished
from harness.servers import GivenSettings, free_port
from protocol.config.production import UnsafeSetting, refuse_unsafe, unsafe_settings
from protocol.config.settings import DEVELOPMENT_SECRET, Settings
from protocol.errors import InvalidInput

OWN_SECRET = secrets.token_hex(32)
SAFE = {
    "production": True,
    "livekit_api_key": "rooms",
    "livekit_api_secret": OWN_SECRET,
    "livekit_public_url": "wss://talk.example",
    "auth_mode": ("open",),
}
MAKE_KEYS = "`make keys` writes keys of your own into .env"


def settings(**changed: Any) -> Settings:
    """Return safe settings of production with a test's changes."""
    return GivenSettings(**(SAFE | changed))


def found(serves_people: bool = True, **changed: Any) -> list[UnsafeSetting]:
    """Return the reasons for which these settings are refused."""
    return unsafe_settings(settings(**changed), serves_people=serves_people)


def test_a_safe_production_starts() -> None:
    """Production with its own keys, a chosen AUTH_MODE and TLS is not refused."""
    assert found() == []


def test_development_needs_no_set_up() -> None:
    """The default settings are not refused."""
    assert unsafe_settings(GivenSettings(), serves_people=True) == []


@pytest.mark.parametrize(
    "given", [{"livekit_api_key": "devkey"}, {"livekit_api_secret": DEVELOPMENT_SECRET}]
)
@pytest.mark.parametrize("serves_people", [True, False])
def test_production_refuses_the_development_key(given: dict[str, str], serves_people: bool) -> None:
    """In production the development key or secret is refused for both processes."""
    what = "LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key, in PRODUCTION=true"

    assert found(serves_people, **given) == [UnsafeSetting("keys", what, MAKE_KEYS)]


def test_production_refuses_loopback_alone() -> None:
    """In production AUTH_MODE=loopback alone is refused."""
    what = "AUTH_MODE='loopback', in PRODUCTION=true: it does not say who may call"

    assert found(auth_mode=("loopback",)) == [
        UnsafeSetting("auth", what, "expected api_keys, jwt or, for all callers, open")
    ]


@pytest.mark.parametrize("mode", ["open", "api_keys", "jwt"])
def test_each_chosen_mode_is_accepted(mode: str) -> None:
    """Each AUTH_MODE but loopback is accepted in production, also beside loopback."""
    assert found(auth_mode=("loopback", mode)) == []


def test_production_refuses_a_public_url_without_tls() -> None:
    """In production a public LiveKit URL without TLS is refused."""
    [refusal] = found(livekit_public_url="ws://talk.example")

    assert refusal.area == "tls"
    assert refusal.found == "LIVEKIT_PUBLIC_URL='ws://talk.example', in PRODUCTION=true: no TLS"


@pytest.mark.parametrize(
    "trusted", ["10.0.0.0/8", "127.0.0.1,::/1", "10.0.0.7, 10.0.0.0/8", "172.17.0.0/16,"]
)
@pytest.mark.parametrize("production", [True, False])
def test_loopback_refuses_widely_trusted_proxies(trusted: str, production: bool) -> None:
    """With loopback, trusted proxies that include many machines are refused."""
    [refusal] = found(
        trusted_proxies=trusted, auth_mode=("api_keys", "loopback"), production=production
    )

    assert refusal.area == "proxies"
    [wide] = [each.strip() for each in trusted.split(",") if "/" in each]
    assert refusal.found.startswith(
        f"TRUSTED_PROXIES='{wide}' with AUTH_MODE='api_keys,loopback': "
        "a machine there that forwards 127.0.0.1"
    )


@pytest.mark.parametrize(
    ("trusted", "modes"),
    [
        ("127.0.0.1", ("loopback", "open")),
        ("10.0.0.7,10.0.0.8,fd00::5", ("loopback", "open")),
        ("127.0.0.0/8,::1", ("loopback", "open")),
        ("0.0.0.0/1", ("open",)),
        ("10.0.0.0/8", ("api_keys",)),
    ],
)
def test_proxies_that_are_known_are_trusted(trusted: str, modes: tuple[str, ...]) -> None:
    """Single addresses and this machine may be trusted, and any address without loopback."""
    assert found(trusted_proxies=trusted, auth_mode=modes) == []


def test_a_worker_trusts_no_proxy() -> None:
    """The worker ignores TRUSTED_PROXIES."""
    assert found(False, trusted_proxies="10.0.0.0/8", auth_mode=("loopback",)) == []


@pytest.mark.parametrize("serves_people", [True, False])
def test_a_key_that_equals_the_secret_is_refused(serves_people: bool) -> None:
    """A key that equals the secret is refused, and the refusal does not show it."""
    [refusal] = found(serves_people, livekit_api_key=OWN_SECRET)

    assert refusal.area == "keys"
    assert OWN_SECRET not in refusal.sentence


def test_a_worker_ignores_settings_of_the_token_service() -> None:
    """The worker ignores AUTH_MODE and LIVEKIT_PUBLIC_URL."""
    assert found(False, auth_mode=("loopback",), livekit_public_url="ws://x") == []


def test_development_beyond_this_machine_refuses_the_development_key() -> None:
    """A HOST other than this machine is refused with the development key."""
    reachable = GivenSettings(host="192.168.1.5", auth_mode=("open",))

    assert [each.sentence for each in unsafe_settings(reachable, serves_people=True)] == [
        "HOST='192.168.1.5' with the development key, which is public; " + MAKE_KEYS
    ]


def test_all_unsafe_settings_are_named_at_once() -> None:
    """A refusal names all unsafe settings at once."""
    with pytest.raises(InvalidInput) as caught:
        refuse_unsafe(GivenSettings(production=True), serves_people=True)

    assert [each in str(caught.value) for each in ("LIVEKIT_API_KEY", "AUTH_MODE", "PUBLIC_URL")]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["token_service", "worker"])
def test_both_processes_end_with_the_reason(module: str, tmp_path: Path) -> None:
    """In production with the development key both processes end with EX_CONFIG and one line."""
    environment = {"PRODUCTION": "true", "HOME": str(tmp_path), "PORT": str(free_port())}
    done = finished(module, env=os.environ | environment | {"WORKER_PORT": str(free_port())})
    [line] = done.stderr.splitlines()

    assert done.returncode == os.EX_CONFIG
    assert line.startswith(f"{module}: LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key")
    assert DEVELOPMENT_SECRET not in done.stderr


@pytest.mark.slow
def test_the_token_service_ends_if_a_network_is_trusted(tmp_path: Path) -> None:
    """The token service ends at once if it trusts a network's proxies in loopback mode."""
    environment = {"TRUSTED_PROXIES": "10.0.0.0/8", "HOME": str(tmp_path), "PORT": str(free_port())}
    done = finished("token_service", env=os.environ | environment)

    assert done.returncode == os.EX_CONFIG
    assert done.stderr.startswith(
        "token_service: TRUSTED_PROXIES='10.0.0.0/8' with AUTH_MODE='loopback':"
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", ["token_service", "worker"])
def test_both_processes_refuse_a_short_secret(module: str, tmp_path: Path) -> None:
    """Both processes refuse a secret of under 32 bytes without showing it."""
    environment = {"LIVEKIT_API_SECRET": "q" * 31, "HOME": str(tmp_path)}
    done = finished(module, env=os.environ | environment)

    assert (done.returncode, done.stderr) == (
        os.EX_CONFIG,
        f"{module}: LIVEKIT_API_SECRET: expected at least 32 bytes (value not shown)\n",
    )


def test_no_refusal_shows_a_secret() -> None:
    """No refusal shows the key or the secret."""
    refused = found(livekit_api_key="devkey", auth_mode=("loopback",), livekit_public_url="ws://x")
    words = " ".join(each.sentence for each in refused)

    assert re.search(r"devkey|" + OWN_SECRET, words) is None
