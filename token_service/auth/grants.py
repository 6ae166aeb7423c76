"""Who may do what: a person → a LiveKit JWT. Pure but for clock and log.

A person joins one room under one identity, publishes sound, hears and sends data. Nothing else: no
camera, no other room, no administration, no attribute changes (frontends trust attributes).
The token's id is its `jti` and an attribute of the participant, so that one can be revoked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import jwt
from livekit import api

from protocol import wire
from protocol.config.secret import reveal
from protocol.config.settings import Settings

# Several SDKs name no source unless told to, and LiveKit then lets them wait 10 s for a refusal.
SOURCES = ("microphone", "screen_share_audio", "unknown")


@dataclass(frozen=True, slots=True)
class Person:
    """Who joins which room, and how they are shown."""

    room: str
    identity: str
    name: str = "Guest"
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


def participant_token(person: Person, token_id: str, settings: Settings) -> str:
    """Mint the JWT. It gates the joining only: LiveKit renews it for who is in the room."""
    secret = reveal(settings, "livekit_api_secret", "token for a person")
    token = (
        api.AccessToken(settings.livekit_api_key, secret)
        .with_identity(person.identity)
        .with_name(person.name)
        .with_metadata(person.metadata)
        .with_attributes({**person.attributes, wire.ATTR_TOKEN_ID: token_id})
        .with_ttl(timedelta(seconds=settings.token_ttl_s))
        .with_grants(person_grant(person.room))
        .to_jwt()
    )
    # livekit-api 1.2.1 has no way to set `jti`
    claims = jwt.decode(token, secret, algorithms=["HS256"]) | {"jti": token_id}
    return jwt.encode(claims, secret, algorithm="HS256")


def person_grant(room: str) -> api.VideoGrants:
    """What a person may do in a room."""
    return api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=list(SOURCES),
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=False,
    )
