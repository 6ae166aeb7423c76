"""When LM states are renewed, and how much of a session they keep. Pure."""

from dataclasses import dataclass

STUCK_STEPS = 8  # a piece that found no gap for so many steps is too large


@dataclass(frozen=True, slots=True)
class RenewalRules:
    """When sessions are renewed, and from how many columns."""

    at_share: float = 0.92  # of the context: the age at which an LM state is renewed
    keep_share: float = 0.5  # of the context: the most of its own columns that a session keeps
    # For a pause; less where many wait, and at most half of what is left until the ring is full.
    patience_frames: int = 125
    spoken_frames: int = 250  # 20 s of speech heard before a model counts as unresponsive


def history_frames(context: int, rules: RenewalRules) -> int:
    """Return how many columns of a slot a renewal may need.

    Those that are kept, and those that pass while they are read and a pause is waited for.
    """
    keep = int(context * rules.keep_share)
    return keep + keep // 2 + patience(context, rules) + STUCK_STEPS


def patience(context: int, rules: RenewalRules) -> int:
    """Return for how many frames a renewal waits for a pause."""
    return min(rules.patience_frames, (context - int(context * rules.at_share)) // 2)
