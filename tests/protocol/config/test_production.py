"""What an unsafe installation is refused for, and that development needs no set-up."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    """A safe production, but for what a test changes."""
    return GivenSettings(**(SAFE | changed))


def found(serves_people: bool = True, **changed: Any) -> list[UnsafeSetting]:
    """Why such an installation does not start."""
    return unsafe_settings(settings(**changed), serves_people=serves_people)


def test_a_safe_production_starts() -> None:
    """Own keys, a mode that was chosen and TLS: nothing is refused."""
    assert found() == []


def test_development_needs_no_set_up() -> None:
    """The defaults start: they serve this machine alone."""
    assert unsafe_settings(GivenSettings(), serves_people=True) == []


@pytest.mark.parametrize(
    "given", [{"livekit_api_key": "devkey"}, {"livekit_api_secret": DEVELOPMENT_SECRET}]
)
@pytest.mark.parametrize("serves_people", [True, False])
def test_production_refuses_the_development_key(given: dict[str, str], serves_people: bool) -> None:
    """Key or secret that everybody knows: neither service nor worker starts."""
    what = "LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key, in PRODUCTION=true"

    assert found(serves_people, **given) == [UnsafeSetting("keys", what, MAKE_KEYS)]


def test_production_refuses_that_nobody_chose_who_may_talk() -> None:
    """Loopback is the default of development, and no choice for people elsewhere."""
    what = "AUTH_MODE='loopback', in PRODUCTION=true: it does not say who may call"

    assert found(auth_mode=("loopback",)) == [
        UnsafeSetting("auth", what, "expected api_keys, jwt or, for all callers, open")
    ]


@pytest.mark.parametrize("mode", ["open", "api_keys", "jwt"])
def test_each_mode_that_was_chosen_is_taken(mode: str) -> None:
    """API keys, the operator's JWTs, or explicitly everybody; beside loopback too."""
    assert found(auth_mode=("loopback", mode)) == []


def test_production_refuses_a_public_url_without_tls() -> None:
    """Browsers would give no microphone."""
    [refusal] = found(livekit_public_url="ws://talk.example")

    assert refusal.area == "tls"
    assert refusal.found == "LIVEKIT_PUBLIC_URL='ws://talk.example', in PRODUCTION=true: no TLS"


@pytest.mark.parametrize(
    "trusted", ["*", "127.0.0.1,*", "0.0.0.0/0", "::/0", "10.0.0.7, 10.0.0.0/8", "172.17.0.0/16"]
)
@pytest.mark.parametrize("production", [True, False])
def test_loopback_is_not_for_who_is_forwarded_by_strangers(trusted: str, production: bool) -> None:
    """Everybody trusted could forward 127.0.0.1 and would be let in as this machine."""
    [refusal] = found(
        trusted_proxies=trusted, auth_mode=("api_keys", "loopback"), production=production
    )

    assert refusal.area == "proxies"
    wide = trusted.rpartition(",")[2].strip()
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
        ("*", ("open",)),
        ("10.0.0.0/8", ("api_keys",)),
    ],
)
def test_proxies_that_are_known_are_trusted(trusted: str, modes: tuple[str, ...]) -> None:
    """Single addresses, this machine itself, and anybody where loopback lets nobody in."""
    assert found(trusted_proxies=trusted, auth_mode=modes) == []


def test_a_worker_trusts_no_proxy() -> None:
    """Who calls is the token service's business."""
    assert found(False, trusted_proxies="*", auth_mode=("loopback",)) == []


@pytest.mark.parametrize("serves_people", [True, False])
def test_a_secret_is_no_name_of_a_key(serves_people: bool) -> None:
    """Pasted twice, the secret would stand in every token; the refusal does not show it."""
    [refusal] = found(serves_people, livekit_api_key=OWN_SECRET)

    assert refusal.area == "keys"
    assert OWN_SECRET not in refusal.sentence


def test_a_worker_is_not_asked_how_people_come_in() -> None:
    """The public URL and who may talk are the token service's business."""
    assert found(False, auth_mode=("loopback",), livekit_public_url="ws://x") == []


def test_development_beyond_this_machine_refuses_the_development_key() -> None:
    """Who can reach the service knows that key, and could make any token."""
    reachable = GivenSettings(host="192.168.1.5", auth_mode=("open",))

    assert [each.sentence for each in unsafe_settings(reachable, serves_people=True)] == [
        "HOST='192.168.1.5' with the development key, which is public; " + MAKE_KEYS
    ]


def test_all_reasons_are_told_at_once() -> None:
    """Who mends one is not told the next afterwards."""
    with pytest.raises(InvalidInput) as caught:
        refuse_unsafe(GivenSettings(production=True), serves_people=True)

    assert [each in str(caught.value) for each in ("LIVEKIT_API_KEY", "AUTH_MODE", "PUBLIC_URL")]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["token_service", "worker"])
def test_both_processes_end_with_the_reason(module: str, tmp_path: Path) -> None:
    """In production with the development key they end with 1 and one line, at once."""
    environment = {"PRODUCTION": "true", "HOME": str(tmp_path), "PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | environment | {"WORKER_PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = done.stderr.splitlines()

    assert done.returncode == 1
    assert line.startswith(f"{module}: LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key")
    assert DEVELOPMENT_SECRET not in done.stderr


@pytest.mark.slow
def test_the_token_service_ends_where_strangers_are_trusted(tmp_path: Path) -> None:
    """At once, with the setting that lets them in."""
    environment = {"TRUSTED_PROXIES": "*", "HOME": str(tmp_path), "PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "token_service"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("token_service: TRUSTED_PROXIES='*' with AUTH_MODE='loopback':")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["token_service", "worker"])
def test_both_processes_refuse_a_short_secret(module: str, tmp_path: Path) -> None:
    """Under 32 bytes, LiveKit's signatures could be guessed; the secret is not shown."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | {"LIVEKIT_API_SECRET": "q" * 31, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (
        1,
        f"{module}: LIVEKIT_API_SECRET: expected at least 32 bytes (value not shown)\n",
    )


def test_no_refusal_shows_a_secret() -> None:
    """Whatever is refused, the secret is not in the words."""
    refused = found(livekit_api_key="devkey", auth_mode=("loopback",), livekit_public_url="ws://x")
    words = " ".join(each.sentence for each in refused)

    assert re.search(r"devkey|" + OWN_SECRET, words) is None
