"""Which participants count as people, and which agents as personas. Pure.

One rule for worker and token service: people are heard, and personas are in the room as long as
people are. A participant that only publishes (an ingress, a telephone) is one of them. An agent is
none: its room would never end. A recorder (EGRESS) or a bridge to a camera (BRIDGE) is none either:
it stays behind when the people have left.
"""

from collections.abc import Mapping
from typing import Final

from protocol import wire

# LiveKit's names of kinds (livekit_models.proto ParticipantInfo.Kind); the numbers differ between
# its server and its client libraries.
PEOPLE: Final = frozenset({"STANDARD", "INGRESS", "SIP", "CONNECTOR"})


def is_persons_kind(kind: str) -> bool:
    """Return whether participants of a kind, by LiveKit's name, are people."""
    return kind.removeprefix("PARTICIPANT_KIND_") in PEOPLE


def host_generation(attributes: Mapping[str, str]) -> int | None:
    """Return the generation that an agent shows; None for one that is no persona of ours.

    Any agent may have written anything there.
    """
    try:
        generation = int(attributes.get(wire.ATTR_GENERATION, ""))
    except ValueError:  # also for a number of over 4300 digits
        return None
    return generation if generation >= 0 else None
