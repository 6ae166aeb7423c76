"""Which participants and which of their tracks the personas of a room hear. Pure.

People are heard and keep the room open (`protocol.presence`). An agent of another program is heard
while people are there. Personas hear each other inside the process; a persona's own track, or that
of an avatar which publishes on its behalf, is not heard from the room: it would be heard twice.
"""

from collections.abc import Iterable

from livekit import rtc

from protocol import wire
from protocol.presence import host_generation, is_persons_kind

TRACKS_PER_PARTICIPANT = 2  # a microphone, and the sound of a shared screen
_KIND_NAMES = {number: name for name, number in rtc.ParticipantKind.items()}


def is_person(participant: rtc.Participant) -> bool:
    """Return whether a participant counts as one of the room's people."""
    return is_persons_kind(_KIND_NAMES.get(participant.kind, ""))


def is_heard(participant: rtc.RemoteParticipant, room: rtc.Room) -> bool:
    """Return whether the personas of a room hear a participant."""
    if participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
        return is_person(participant)
    principal_identity = participant.attributes.get(wire.ATTR_ON_BEHALF)
    if _is_persona(participant) or principal_identity == room.local_participant.identity:
        return False
    principal = room.remote_participants.get(principal_identity or "")
    return principal is None or not _is_persona(principal)


def is_encrypted(publication: rtc.RemoteTrackPublication) -> bool:
    """Return whether a track is encrypted from end to end: without its key it is loud noise."""
    return publication.encryption_type != rtc.EncryptionType.NONE


def tracks_to_hear(publications: Iterable[rtc.RemoteTrackPublication]) -> set[str]:
    """Return the SIDs of the tracks to hear of one participant: microphones first."""
    audio = [
        each
        for each in publications
        if each.kind == rtc.TrackKind.KIND_AUDIO and not is_encrypted(each)
    ]
    audio.sort(key=lambda each: each.source != rtc.TrackSource.SOURCE_MICROPHONE)
    return {each.sid for each in audio[:TRACKS_PER_PARTICIPANT]}


def _is_persona(agent: rtc.Participant) -> bool:
    """Return whether an agent is a persona, of this host or of an earlier one."""
    return host_generation(agent.attributes) is not None
