"""Participants' tokens as bearers of WebSockets.

An application that has a key or a user mints a token (`POST /token`), and its page, which should
hold no key, opens `/api/chat?token=…` or `/sessions/{id}/audio?token=…` with it.
"""

import jwt
from livekit import api

from protocol import wire
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from token_service.auth.callers import ANYONE, Caller, GuestPass, Scope


class PersonTokens:
    """Verifies tokens that this service signed for participants."""

    def __init__(self, settings: Settings) -> None:
        secret = reveal(settings, "livekit_api_secret", "tokens of WebSockets")
        self._verifier = api.TokenVerifier(settings.livekit_api_key, secret)

    def caller(self, bearer: str) -> Caller | None:
        """Return the guest of a room whom a token names; None where it is none of ours."""
        try:
            claims = self._verifier.verify(bearer)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        token_id = (claims.attributes or {}).get(wire.ATTR_TOKEN_ID)
        room = claims.video.room if claims.video else None
        if not token_id or not room:
            return None
        return Caller(ANYONE.id, frozenset({Scope.TALK}), GuestPass(token_id, room, ""))
