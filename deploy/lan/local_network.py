"""`make run HOST=…`: the settings of a product that a local network reaches, above all TLS.

Browsers allow a microphone only over https, so Caddy serves page and LiveKit with a certificate of
this machine's own authority. A page over http explains how to trust it.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from deploy.lan.authority import is_private
from deploy.livekit_config import livekit_keys
from protocol.config.addresses import is_loopback
from protocol.config.secret import is_development_key, reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput

CONFIGURATION = Path(__file__).with_name("lan.caddy")
EVERYWHERE = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Lan:
    """The addresses in the network: https for page and LiveKit, http for the welcome page."""

    host: str
    https_port: int
    port: int

    @property
    def address(self) -> str:
        """The page's address."""
        return f"https://{self.host}:{self.https_port}"

    @property
    def welcome(self) -> str:
        """The page that explains how to trust the certificate."""
        return f"http://{self.host}:{self.port}"

    @property
    def livekit_url(self) -> str:
        """LiveKit's address for browsers."""
        return f"wss://{self.host}:{self.https_port}"

    def folder_in(self, folder: Path) -> Path:
        """Return the folder of Caddy's files below the launcher's folder."""
        return folder.resolve() / f"lan-{self.https_port}"

    def environment(self, folder: Path, livekit_port: int) -> dict[str, str]:
        """Return the variables of lan.caddy."""
        return {
            "LAN_HOST": self.host,
            "LAN_HTTPS_PORT": str(self.https_port),
            "LAN_FOLDER": str(self.folder_in(folder)),
            "PORT": str(self.port),
            "LIVEKIT_PORT": str(livekit_port),
        }


def open_to(settings: Settings, https_port: int, *, starts_livekit: bool) -> tuple[Settings, Lan]:
    """Return settings for services on the loopback, and the network's addresses at Caddy.

    A LiveKit that we start gets a new key instead of the public development key. Without an
    AUTH_MODE every caller in the network may talk. Raises `InvalidInput`.
    """
    _check(settings.host)
    lan = Lan(settings.host, https_port, settings.port)
    change: dict[str, object] = {"host": "127.0.0.1"}
    if is_development_key(settings):
        change |= _key_for_this_run(settings, starts_livekit)
    if is_loopback(urlsplit(settings.livekit_url).hostname):
        change["livekit_public_url"] = lan.livekit_url
    if "auth_mode" not in settings.model_fields_set:
        change["auth_mode"] = ("open",)
    elif settings.auth_mode == ("loopback",):
        raise InvalidInput(
            f"AUTH_MODE='loopback' with HOST={settings.host!r}: no device could join; "
            "expected open, api_keys or jwt"
        )
    return settings.model_copy(update=change), lan


def _key_for_this_run(settings: Settings, starts_livekit: bool) -> dict[str, object]:
    if settings.production or not starts_livekit:
        raise InvalidInput(
            f"HOST={settings.host!r} with the development key, which is public; "
            "`make keys` writes keys of your own into .env"
        )
    key, secret = livekit_keys().values()
    return {"livekit_api_key": key, "livekit_api_secret": SecretStr(secret)}


def environment_of(lan: Lan | None, settings: Settings) -> dict[str, str]:
    """Return the variables that our processes get when a network comes through Caddy."""
    if lan is None:
        return {}
    return {
        "HOST": settings.host,
        "AUTH_MODE": ",".join(settings.auth_mode),
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": reveal(settings, "livekit_api_secret", "environment of make run"),
    }


def _check(host: str) -> None:
    """Raise `InvalidInput` for an address that Caddy cannot sign a certificate for here."""
    if is_private(host):
        return
    own = own_address()
    here = f", here {own}" if is_private(own) else ""
    elsewhere = "a public address gets its certificate from Caddy in docker compose"
    wanted = f"expected this machine's address in its private network{here}"
    why = "a certificate is for one address" if host in EVERYWHERE else elsewhere
    raise InvalidInput(
        f"HOST={host!r}: {wanted}; {why}. Behind TLS of your own, set LIVEKIT_PUBLIC_URL too"
    )


def own_address() -> str:
    """Return this machine's address in its network, or the loopback without one. Sends nothing."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737), an unused network
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
