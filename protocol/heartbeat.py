"""The worker's heartbeat in redis: its state, its slots, what became of its dispatches. Pure.

A worker writes it every `HEARTBEAT_PERIOD_S` and on every change, with a time to live:
a heartbeat that is gone means a worker that is gone.
"""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.records.stored import known_or
from protocol.sampling import UsualSampling

# The ids of all workers by the time of their latest heartbeat: a scan would read all keys of rooms.
WORKERS_KEY = "moshi:workers"
WORKER_KEPT_S = 600.0  # in it, after its latest heartbeat
# A lost host is replaced within 5 s: the time to live, a poll of 1 s, a join of 1 s.
HEARTBEAT_PERIOD_S = 0.5
HEARTBEAT_TTL_S = 3.0
FAILED_TTL_S = 60.0  # of a worker that could not start: it says why, until it tries again
# Of what a host leaves to the next one: its backups (`worker/backup/chunk.py`) and how it hands
# over (`worker/room/handover.py`). To be raised where a host of before could not go on from it.
MEMORY_FORMAT = 1

# starting: also while every process of rooms has ended, until one is replaced.
# connecting: the worker is not registered with LiveKit.
WorkerState = Literal["starting", "loading_model", "connecting", "ready", "draining", "error"]
# standby: a host is there that is to take the room over. hosted: the room has its host now.
# refused: the worker had no free slots for the dispatch.
# failed: the host ended with an error. left: the host ended without one.
Outcome = Literal["standby", "hosted", "refused", "failed", "left"]


class SpeechRecognition(BaseModel):
    """Whether a worker writes people's words, with what, and why not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Annotated[Literal["off", "loading", "ready", "failed"], known_or("off")] = "off"
    model: str = ""
    reason: str = ""  # a sentence: what is loading, or why words are not written


class RoomOutcome(BaseModel):
    """The outcome of a room's latest dispatch to one worker, and its generation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    generation: int
    outcome: Annotated[Outcome, known_or("hosted")]  # else a call that goes on would be cut off
    lost: bool = False  # its process ended: "left", as versions before this field read it


class Heartbeat(BaseModel):
    """A worker's report of itself, which it writes to redis twice a second."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker_id: str
    state: Annotated[WorkerState, known_or("connecting")]  # no new rooms; its rooms stay
    reason: str = ""
    model: str
    memory_format: int = 1  # of a worker that names none
    model_note: str = ""  # one sentence for users, e.g. that the pocket Moshi is a demonstration
    keys_and_values: str = ""  # type of keys and values and the reason, one sentence for users
    model_prompts: bool = False  # the model follows a persona's prompt
    model_sampling: UsualSampling = UsualSampling()  # of a persona that sets none itself
    prompt_tokens: int = Field(default=0, ge=0)  # the most that a prompt may have with its marks
    tokenizer: str = ""  # digest of the tokenizer that counts them (protocol/prompt.py)
    voices: tuple[str, ...] = ()
    # The only lines that the model can say on command, by voice; `*`: in every voice. None: any.
    lines: dict[str, tuple[str, ...]] | None = None
    stt: SpeechRecognition = SpeechRecognition()
    chat_url: str = ""  # where token services open WebSockets for their clients; empty: nowhere
    slots_total: int = Field(default=0, ge=0)
    slots_used: int = Field(default=0, ge=0)
    slots_free: int = Field(default=0, ge=0)
    step_p99_ms: float | None = None
    too_slow: bool = False  # steps take too long for one more session: no slot is free
    # By room, of the latest dispatch to this worker; dropped 40 s after the host ended.
    outcomes: dict[str, RoomOutcome] = Field(default_factory=dict[str, RoomOutcome])

    @cached_property
    def hosts(self) -> dict[str, int]:
        """The generation of each room that the worker hosts now."""
        return {
            room: each.generation
            for room, each in self.outcomes.items()
            if each.outcome == "hosted"
        }


def heartbeat_key(worker_id: str) -> str:
    return f"moshi:worker:{worker_id}"
