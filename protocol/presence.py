"""Which participants count as people. Pure.

One rule for worker and token service: people are heard, and personas are in the room as long as
people are. A participant that only publishes (an ingress, a telephone) is one of them. An agent is
none: its room would never end. A recorder (EGRESS) or a bridge to a camera (BRIDGE) is none either:
it stays behind when the people have left.
"""

from typing import Final

# LiveKit's names of kinds (livekit_models.proto ParticipantInfo.Kind); the numbers differ between
# its server and its client libraries.
PEOPLE: Final = frozenset({"STANDARD", "INGRESS", "SIP", "CONNECTOR"})


def is_persons_kind(kind: str) -> bool:
    """Return whether participants of a kind, by LiveKit's name, are people."""
    return kind.removeprefix("PARTICIPANT_KIND_") in PEOPLE
