"""The events that a mind reports to its room, in the order in which they happen. Pure."""

from dataclasses import dataclass
from typing import Literal

TroubleCode = Literal[
    "mind_away",  # its server cannot be reached, or failed
    "mind_slow",
    "mind_late",  # an answer with its functions
    "mind_refused",  # its server refuses the key, the model or the request
    "mind_nonsense",
    "mind_flood",
    "mind_busy",  # the room asked as often as it may
    "mind_failed",
    "tool_away",
]
DETAILS: dict[TroubleCode, str] = {
    "mind_away": "The language model cannot be reached. The voice goes on without it.",
    "mind_slow": "The language model takes too long. The voice goes on without it.",
    "mind_late": "The answer takes too long with its functions. The voice goes on without it.",
    "mind_refused": "The language model's server refuses requests. The voice goes on without it.",
    "mind_nonsense": "The language model's answer cannot be read. The voice goes on without it.",
    "mind_flood": "The language model's answer is too long. What exceeds the limit is not said.",
    "mind_busy": "The room asked the language model too often. The voice goes on without it.",
    "mind_failed": "The mind failed. The voice goes on without it.",
    "tool_away": "A tool server cannot be reached. The mind goes on without its functions.",
}  # fixed sentences: a server's own message may show a key


@dataclass(frozen=True, slots=True)
class Say:
    """Say this sentence with this persona's voice, at the next pause."""

    line_id: str
    persona_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Do not say these lines any more where they have not begun; unknown ones do not matter."""

    line_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A function was called for a persona."""

    call_id: str
    persona_id: str
    tool: str


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """The call of a function is over: it took so long, and gave a result or did not."""

    call_id: str
    persona_id: str
    tool: str
    took_ms: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something does not work: a code for programs, a sentence for people. No secret in either."""

    code: TroubleCode
    detail: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A typed line of this sender got no answer, or none that can be said: a voice cannot read."""

    sender: str


@dataclass(frozen=True, slots=True)
class LeftToVoice:
    """No fixed line answers a person's words, or none that can be said: the voice goes on."""


MindEvent = Say | Withdraw | ToolStarted | ToolEnded | Trouble | Unanswered | LeftToVoice
