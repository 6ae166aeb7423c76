"""Whom the personas of a room hear, and which of a participant's tracks. Pure.

People are heard and count (`protocol.presence`). An agent of another program is heard, too, for as
long as people are there; it counts for nothing. The personas hear each other inside the process, so
neither they nor an avatar that speaks for one of them is heard from the room: it would be twice.
"""

from collections.abc import Iterable

from livekit import rtc

from protocol import wire
from protocol.presence import is_persons_kind

TRACKS_PER_PARTICIPANT = 2  # a microphone, and the sound of a shared screen
_KINDS = {number: name for name, number in rtc.ParticipantKind.items()}


def is_person(participant: rtc.Participant) -> bool:
    """Tell whether a participant is one of the room's people."""
    return is_persons_kind(_KINDS.get(participant.kind, ""))


def is_heard(participant: rtc.RemoteParticipant, room: rtc.Room) -> bool:
    """Tell whether personas hear a participant of their room."""
    if participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
        return is_person(participant)
    speaks_for = participant.attributes.get(wire.ATTR_ON_BEHALF)
    if _is_ours(participant) or speaks_for == room.local_participant.identity:
        return False
    principal = room.remote_participants.get(speaks_for or "")
    return principal is None or not _is_ours(principal)


def _is_ours(agent: rtc.Participant) -> bool:
    """Tell whether an agent is a persona, of this host or of one before it."""
    return wire.ATTR_GENERATION in agent.attributes


def heard_of(publications: Iterable[rtc.RemoteTrackPublication]) -> set[str]:
    """Choose the tracks that are heard of one participant: microphones first, the oldest first."""
    sounds = [one for one in publications if one.kind == rtc.TrackKind.KIND_AUDIO]
    sounds.sort(key=lambda one: one.source != rtc.TrackSource.SOURCE_MICROPHONE)
    return {one.sid for one in sounds[:TRACKS_PER_PARTICIPANT]}
