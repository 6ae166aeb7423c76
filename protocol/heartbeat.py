"""The worker's heartbeat in redis: its state, its slots, the rooms it hosts. Pure.

A worker writes it every `HEARTBEAT_PERIOD_S` and on every change, with a time to live:
a heartbeat that is gone means a worker that is gone.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.sampling import UsualSampling

HEARTBEAT_KEY = "moshi:worker:{worker_id}"
HEARTBEAT_PATTERN = "moshi:worker:*"
# A lost host is replaced within 5 s: the time to live, a poll of 1 s, a join of 1 s.
HEARTBEAT_PERIOD_S = 0.5
HEARTBEAT_TTL_S = 3.0
LAST_WORDS_TTL_S = 60.0  # of a worker that could not start: why, until it tries again

# connecting: LiveKit does not know it, or no more.
WorkerState = Literal["starting", "loading_model", "connecting", "ready", "draining", "error"]


class Heartbeat(BaseModel):
    """One worker as the token service sees it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker_id: str
    state: WorkerState
    reason: str = ""
    model: str
    model_note: str = ""  # one sentence for people, e.g. that the pocket Moshi is a demonstration
    model_prompts: bool = False  # it follows a persona's prompt, not its sampling alone
    model_sampling: UsualSampling = UsualSampling()  # of a persona that asks for no other
    prompt_tokens: int = Field(default=0, ge=0)  # of such a prompt with its marks, at most
    tokenizer: str = ""  # that counts them: its name in redis (protocol/prompt.py)
    voices: tuple[str, ...] = ()
    # The only lines that its model can be told to say, by voice; `*`: in every voice. None: any.
    lines: dict[str, tuple[str, ...]] | None = None
    slots_total: int = Field(default=0, ge=0)
    slots_used: int = Field(default=0, ge=0)
    slots_free: int = Field(default=0, ge=0)
    step_p99_ms: float | None = None
    hosts: dict[str, int] = Field(default_factory=dict[str, int])  # room → generation
    # Lately, room → generation: dispatches that it did not take, hosts that failed, that left.
    refused: dict[str, int] = Field(default_factory=dict[str, int])
    failed: dict[str, int] = Field(default_factory=dict[str, int])
    left: dict[str, int] = Field(default_factory=dict[str, int])


def heartbeat_key(worker_id: str) -> str:
    """Redis key that holds a worker's heartbeat as JSON."""
    return HEARTBEAT_KEY.format(worker_id=worker_id)
