"""The worker's participants in a room: the connection, and a persona's identity and attributes."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from livekit import api, rtc

from protocol import wire
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.livekit_private import connecting
from worker.livekit_private.incoming import accepts_no_messages
from worker.livekit_private.native_events import native_events

TOKEN_TTL = timedelta(minutes=5)


def identity_of(persona: PersonaSpec) -> str:
    """Return a new identity: one used twice ends both connections (livekit-server 1.13.5)."""
    return wire.persona_identity(persona.name, persona.id, uuid.uuid4().hex[:10])


def attributes_of(
    persona: PersonaSpec, spec: RoomSpec, model: str, stands_by: bool
) -> dict[str, str]:
    """Return the attributes that a persona's participant joins with.

    Frontends show no participant that publishes on behalf of another: one that stands by.
    """
    hides = {wire.ATTR_ON_BEHALF: persona.id} if stands_by else {}
    return hides | {
        wire.ATTR_AGENT_STATE: "initializing",
        wire.ATTR_PERSONA: persona.name,
        wire.ATTR_PERSONA_ID: persona.id,
        wire.ATTR_VOICE: persona.voice,
        wire.ATTR_MODEL: model,
        wire.ATTR_GENERATION: str(spec.generation),
    }


async def connect(
    persona: PersonaSpec,
    attributes: dict[str, str],
    room: str,
    settings: Settings,
    accepts: Callable[[Any], bool],
) -> rtc.Room:
    """Connect a persona, which only publishes, to its room. Never cancel this (`join`)."""
    return await join(_token(persona, attributes, room, settings), settings, accepts)


async def join(
    token: str, settings: Settings, accepts: Callable[[Any], bool] = accepts_no_messages
) -> rtc.Room:
    """Connect to a token's room, as `connecting.connect`. Never cancel this.

    `accepts` gets the room's events on LiveKit's thread; those that it accepts reach the room.
    """
    room = rtc.Room()
    await connecting.connect(room, settings.livekit_url, token)
    native_events().add_room(room, accepts)
    return room


def _token(persona: PersonaSpec, attributes: dict[str, str], room: str, settings: Settings) -> str:
    """Return a token for an agent that publishes and hears nothing."""
    secret = reveal(settings, "livekit_api_secret", "token for a persona")
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        agent=True,
        can_publish=True,
        can_subscribe=False,
        can_publish_data=True,
        can_update_own_metadata=True,
    )
    return (
        api.AccessToken(settings.livekit_api_key, secret)
        .with_kind("agent")
        .with_identity(identity_of(persona))
        .with_name(persona.label)
        .with_attributes(attributes)
        .with_grants(grants)
        .with_ttl(TOKEN_TTL)
        .to_jwt()
    )
