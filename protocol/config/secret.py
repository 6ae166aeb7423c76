"""Access to the values of secrets. Each read is logged with its reader, never with the value."""

import hashlib
import hmac
from typing import Literal

import structlog
from pydantic import SecretStr

from protocol.config.settings import DEVELOPMENT_KEY, DEVELOPMENT_SECRET, SHORTEST_SECRET, Settings

log = structlog.stdlib.get_logger(__name__)

Secret = Literal["livekit_api_secret", "hf_token", "mind_api_key", "record_s3_secret_key"]


def reveal(settings: Settings, secret: Secret, reader: str) -> str:
    """Return a secret; empty if it is not set. `reader` says what it is read for."""
    held: SecretStr | None = getattr(settings, secret)
    log.info("secret_read", secret=secret.upper(), reader=reader, is_set=held is not None)
    return held.get_secret_value() if held is not None else ""


def key_for(settings: Settings, purpose: str) -> bytes:
    """Derive a key for one purpose from LiveKit's secret; it signs no LiveKit tokens."""
    secret = reveal(settings, "livekit_api_secret", f"key for {purpose}").encode()
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()


def shown_key(name: str) -> str:
    """Return a key's name as it may be shown: one as long as a secret may be a swapped secret."""
    if len(name) >= SHORTEST_SECRET:
        return f"of {len(name)} characters (not shown: it may be a secret)"
    return repr(name)


def is_development_key(settings: Settings) -> bool:
    """Return whether key or secret is the public one for development."""
    secret = settings.livekit_api_secret.get_secret_value()
    return settings.livekit_api_key == DEVELOPMENT_KEY or secret == DEVELOPMENT_SECRET


def is_secret_its_name(settings: Settings) -> bool:
    """Return whether the key's name, which every token shows, is its secret."""
    return settings.livekit_api_key == settings.livekit_api_secret.get_secret_value()
