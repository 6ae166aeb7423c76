"""Guest links: signed, expiring tokens for one session. The service stores nothing for a link.

The signing key derives from LiveKit's secret and differs from it: a link is no LiveKit token.
"""

from typing import Any

import jwt

from protocol.config.secret import key_for
from protocol.config.settings import Settings
from protocol.room_spec import RoomSpec, fresh_id
from token_service.auth.callers import Caller, GuestPass, Scope

PREFIX = "mrg_"
AUDIENCE = "moshi-rooms guest"
SHORTEST_S, LONGEST_S = 30, 86_400  # life of a link


class GuestLinks:
    def __init__(self, settings: Settings) -> None:
        self._key = key_for(settings, AUDIENCE)

    def sign(self, spec: RoomSpec, ends_at_s: int) -> tuple[str, GuestPass]:
        """Return the bearer of a new link to a session, and the pass that it contains."""
        guest = GuestPass(fresh_id(), spec.room, spec.session)
        claims = {
            "aud": AUDIENCE,
            "jti": guest.id,
            "owner": spec.owner,
            "room": guest.room,
            "session": guest.session,
            "exp": ends_at_s,
        }
        return PREFIX + jwt.encode(claims, self._key, algorithm="HS256"), guest

    def caller(self, bearer: str) -> Caller | None:
        """Return the guest that a bearer identifies; `None` for an invalid or expired link."""
        try:
            claims: dict[str, Any] = jwt.decode(
                bearer.removeprefix(PREFIX),
                self._key,
                algorithms=["HS256"],
                audience=AUDIENCE,
                options={"require": ["exp", "jti"]},
            )
        except jwt.PyJWTError:
            return None
        guest = GuestPass(claims["jti"], claims["room"], claims["session"])
        return Caller(claims["owner"], frozenset({Scope.TALK}), guest)
