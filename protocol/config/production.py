"""What keeps an unsafe installation from starting. Pure: reads settings, connects to nothing.

Development works without any set-up, on this machine alone. `PRODUCTION=true` refuses what would
let strangers in; a service that others can reach refuses the development key in any case.
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

What = Literal["keys", "auth", "tls", "proxies"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to start, and what to do. Shows no secret."""

    what: What
    found: str
    advice: str

    @property
    def sentence(self) -> str:
        """Both in one line."""
        return f"{self.found}; {self.advice}"


def refusals(settings: Settings, *, serves_people: bool) -> list[Refusal]:
    """Every reason not to start, none where all is well.

    A worker does not serve people itself: how they come in is the token service's business.
    """
    found = _keys(settings, serves_people)
    if serves_people:
        found += _forwarded(settings)
    if settings.production and serves_people:
        found += [*_auth(settings), *_tls(settings)]
    return found


def refuse_unsafe(settings: Settings, *, serves_people: bool) -> None:
    """Raise `InvalidInput` with every reason not to start."""
    if found := refusals(settings, serves_people=serves_people):
        raise InvalidInput("; ".join(each.sentence for each in found))


def _keys(settings: Settings, serves_people: bool) -> list[Refusal]:
    if is_secret_its_name(settings):
        found = "LIVEKIT_API_KEY is the secret itself (not shown): every token would tell it"
        return [Refusal("keys", found, "expected the name of the key; make another secret too")]
    if not is_development_key(settings):
        return []
    advice = "`make keys` writes keys of your own into .env"
    if settings.production:
        found = "LIVEKIT_API_KEY, LIVEKIT_API_SECRET: the development key, in PRODUCTION=true"
        return [Refusal("keys", found, advice)]
    if serves_people and not is_loopback(settings.host):
        found = f"HOST={settings.host!r} with the development key: all who reach it know that key"
        return [Refusal("keys", found, advice)]
    return []


def _forwarded(settings: Settings) -> list[Refusal]:
    """Refuse proxies that are strangers: each of them could forward 127.0.0.1 as its client."""
    entries = [entry.strip() for entry in settings.trusted_proxies.split(",")]
    wide = ", ".join(entry for entry in entries if _trusts_strangers(entry))
    if "loopback" not in settings.auth_mode or not wide:
        return []
    found = f"TRUSTED_PROXIES='{wide}' with AUTH_MODE='{','.join(settings.auth_mode)}': "
    found += "whoever forwards 127.0.0.1 as its address would be taken for this machine"
    advice = "expected the addresses of your proxies, one by one, or an AUTH_MODE without loopback"
    return [Refusal("proxies", found, advice)]


def _trusts_strangers(entry: str) -> bool:
    """Whether an entry of TRUSTED_PROXIES is everybody, or a network of other machines."""
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return entry == "*"
    return network.num_addresses > 1 and not network.is_loopback


def _auth(settings: Settings) -> list[Refusal]:
    if CHOSEN_MODES & set(settings.auth_mode):
        return []
    chosen = ",".join(settings.auth_mode)
    found = f"AUTH_MODE='{chosen}', in PRODUCTION=true: nobody said who may talk"
    return [Refusal("auth", found, "expected api_keys, jwt or, for everybody, open")]


def _tls(settings: Settings) -> list[Refusal]:
    url = settings.livekit_public_url
    if urlsplit(url).scheme == "wss":
        return []
    found = f"LIVEKIT_PUBLIC_URL={url!r}, in PRODUCTION=true: no TLS"
    advice = "expected wss://…: browsers give a microphone only to https and connect only to wss"
    return [Refusal("tls", found, advice)]
