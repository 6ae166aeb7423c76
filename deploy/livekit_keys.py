"""A key of LiveKit's: its name and its secret. Imports next to nothing, as every start needs it."""

import secrets

LIVEKIT_NAMES = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


def livekit_keys() -> dict[str, str]:
    """A new name and a secret of 256 random bits."""
    key, secret = LIVEKIT_NAMES
    return {key: f"rooms-{secrets.token_hex(4)}", secret: secrets.token_hex(32)}
