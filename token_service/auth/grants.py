"""LiveKit tokens (JWTs) for participants. Pure but for the clock and the log of secret reads.

A participant may join one room under one identity, publish sound, subscribe and send data: no
camera, no other room, no administration, no change of its attributes (frontends trust those).
The token's id is its `jti` and an attribute of the participant, so that it can be revoked.
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
class Participant:
    """A participant's room, identity and appearance."""

    room: str
    identity: str
    name: str = "Guest"
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


def participant_token(
    person: Participant, token_id: str, settings: Settings, max_people: int = 0
) -> str:
    """Sign a token. It is needed to join only: LiveKit renews it for connected participants.

    With `max_people`, LiveKit admits no more people to the room; agents do not count. LiveKit reads
    the limit when the first participant joins.
    """
    secret = reveal(settings, "livekit_api_secret", "token for a person")
    token = (
        api.AccessToken(settings.livekit_api_key, secret)
        .with_identity(person.identity)
        .with_name(person.name)
        .with_metadata(person.metadata)
        .with_attributes({**person.attributes, wire.ATTR_TOKEN_ID: token_id})
        .with_ttl(timedelta(seconds=settings.token_ttl_s))
        .with_grants(person_grant(person.room))
    )
    if max_people:
        token = token.with_room_config(api.RoomConfiguration(max_participants=max_people))
    # livekit-api 1.2.1 has no way to set `jti`
    claims = jwt.decode(token.to_jwt(), secret, algorithms=["HS256"]) | {"jti": token_id}
    return jwt.encode(claims, secret, algorithm="HS256")


def person_grant(room: str) -> api.VideoGrants:
    return api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=list(SOURCES),
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=False,
    )
