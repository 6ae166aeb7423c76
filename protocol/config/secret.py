"""The one way to a secret's value: each read is logged with who read it, never with the value."""

import hashlib
import hmac
from typing import Literal

import structlog
from pydantic import SecretStr

from protocol.config.settings import DEVELOPMENT_KEY, DEVELOPMENT_SECRET, SHORTEST_SECRET, Settings

log = structlog.stdlib.get_logger(__name__)

Secret = Literal["livekit_api_secret", "hf_token"]


def reveal(settings: Settings, secret: Secret, reader: str) -> str:
    """Give a secret to `reader`, a phrase that says what it is read for. Empty where not set."""
    held: SecretStr | None = getattr(settings, secret)
    log.info("secret_read", secret=secret.upper(), reader=reader, is_set=held is not None)
    return held.get_secret_value() if held is not None else ""


def key_for(settings: Settings, purpose: str) -> bytes:
    """Make a key for one purpose out of LiveKit's secret: what it signs is no LiveKit token."""
    secret = reveal(settings, "livekit_api_secret", f"key for {purpose}").encode()
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()


def shown_key(name: str) -> str:
    """Show the name of a key, unless it is as long as a secret: the two may be swapped."""
    if len(name) >= SHORTEST_SECRET:
        return f"of {len(name)} characters (not shown: it may be a secret)"
    return repr(name)


def is_development_key(settings: Settings) -> bool:
    """Whether key or secret is the one that everybody knows. Compares, and gives nothing away."""
    secret = settings.livekit_api_secret.get_secret_value()
    return settings.livekit_api_key == DEVELOPMENT_KEY or secret == DEVELOPMENT_SECRET


def is_secret_its_name(settings: Settings) -> bool:
    """Whether the key's name, which every token tells, is its secret."""
    return settings.livekit_api_key == settings.livekit_api_secret.get_secret_value()
