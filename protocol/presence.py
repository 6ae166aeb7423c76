"""Who in a room counts as one of its people. Pure.

One rule for worker and token service: the people are heard, are a reason to have personas in the
room, and keep them there. Whoever only publishes (an ingress, a telephone) is one of them. An agent
is none: its room would never end. A recorder (EGRESS) or a bridge to a camera (BRIDGE) is none
either: it stays behind when the people have left.
"""

from typing import Final

# LiveKit's names of kinds (livekit_models.proto ParticipantInfo.Kind); the numbers differ between
# its server and its client libraries.
PEOPLE: Final = frozenset({"STANDARD", "INGRESS", "SIP", "CONNECTOR"})


def is_persons_kind(kind: str) -> bool:
    """Tell whether participants of this kind are people, by LiveKit's name of it."""
    return kind.removeprefix("PARTICIPANT_KIND_") in PEOPLE
