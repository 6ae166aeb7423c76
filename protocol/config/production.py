"""Unsafe settings, which keep a process from starting. Pure: connects to nothing.

Development needs no set-up on one machine. `PRODUCTION=true` refuses settings that would let
strangers in; a service that other machines can reach always refuses the development key.
"""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal
from urllib.parse import urlsplit

from protocol.config.addresses import is_loopback
from protocol.config.secret import is_development_key, is_secret_its_name
from protocol.config.settings import Settings
from protocol.errors import InvalidInput

CHOSEN_MODES = frozenset({"open", "api_keys", "jwt"})


@dataclass(frozen=True, slots=True)
class UnsafeSetting:
    """One reason not to start, and what to do about it. Shows no secret."""

    area: Literal["keys", "auth", "tls", "proxies"]
    found: str
    advice: str

    @property
    def sentence(self) -> str:
        return f"{self.found}; {self.advice}"


def unsafe_settings(settings: Settings, *, serves_people: bool) -> list[UnsafeSetting]:
    """Return every reason not to start.

    `serves_people`: for the token service, which decides how people come in; a worker does not.
    """
    found = _keys(settings, serves_people)
    if serves_people:
        found += _forwarded(settings)
    if settings.production and serves_people:
        found += [*_auth(settings), *_tls(settings)]
    return found


def refuse_unsafe(settings: Settings, *, serves_people: bool) -> None:
    """Raise `InvalidInput` with every reason not to start."""
    if found := unsafe_settings(settings, serves_people=serves_people):
        raise InvalidInput("; ".join(each.sentence for each in found))


def _keys(settings: Settings, serves_people: bool) -> list[UnsafeSetting]:
    if is_secret_its_name(settings):
        found = "LIVEKIT_API_KEY is the secret itself (not shown): every token would show it"
        advice = "expected the name of the key; make another secret too"
        return [UnsafeSetting("keys", found, advice)]
    if not is_development_key(settings):
        return []
    advice = "`make keys` writes keys of your own into .env"
    if settings.production:
        found = "LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key, in PRODUCTION=true"
        return [UnsafeSetting("keys", found, advice)]
    if serves_people and not is_loopback(settings.host):
        found = f"HOST={settings.host!r} with the development key, which is public"
        return [UnsafeSetting("keys", found, advice)]
    return []


def _forwarded(settings: Settings) -> list[UnsafeSetting]:
    """Refuse to trust networks of proxies: any of them could forward 127.0.0.1 as its client."""
    entries = [entry.strip() for entry in settings.trusted_proxies.split(",")]
    wide = ", ".join(entry for entry in entries if entry and _trusts_strangers(entry))
    if "loopback" not in settings.auth_mode or not wide:
        return []
    found = f"TRUSTED_PROXIES='{wide}' with AUTH_MODE='{','.join(settings.auth_mode)}': "
    found += "a machine there that forwards 127.0.0.1 would be taken for this machine"
    advice = "expected the addresses of your proxies, one by one, or an AUTH_MODE without loopback"
    return [UnsafeSetting("proxies", found, advice)]


def _trusts_strangers(entry: str) -> bool:
    """Return whether an entry of TRUSTED_PROXIES is a network of other machines."""
    network = ip_network(entry)
    return network.num_addresses > 1 and not network.is_loopback


def _auth(settings: Settings) -> list[UnsafeSetting]:
    if CHOSEN_MODES & set(settings.auth_mode):
        return []
    chosen = ",".join(settings.auth_mode)
    found = f"AUTH_MODE='{chosen}', in PRODUCTION=true: it does not say who may call"
    return [UnsafeSetting("auth", found, "expected api_keys, jwt or, for all callers, open")]


def _tls(settings: Settings) -> list[UnsafeSetting]:
    url = settings.livekit_public_url
    if urlsplit(url).scheme == "wss":
        return []
    found = f"LIVEKIT_PUBLIC_URL={url!r}, in PRODUCTION=true: no TLS"
    advice = "expected wss://…: browsers give a microphone only to https and connect only to wss"
    return [UnsafeSetting("tls", found, advice)]
