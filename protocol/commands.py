"""Commands to the host of a room: say a line, forget. Each is done once, now, or refused.

The token service puts a command into its worker's mailbox, a list in redis, and rings a bell, a
channel. The worker takes it out, has the room's host do it, and puts the host's answer into a list
of the command's own. Who takes the command out decides: where the worker has not taken it in
`ANSWER_WITHIN_S`, the token service takes it back, and it is certainly not done. So no clocks are
compared. Only our own processes reach redis: a participant cannot forge a command. Pure.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAILBOX_KEY = "moshi:commands:{worker_id}"
BELL_CHANNEL = "moshi:bell:{worker_id}"
ANSWER_KEY = "moshi:answer:{id}"
ANSWER_WITHIN_S = 3.0
LIFE_S = 10  # of mailbox and answer in redis: longer than their readers wait
LINE_LIMIT = 500  # characters of a line to say
LINES_WAITING = 8  # of one persona, beside the one that it says

Refusal = Literal[
    "not_live",  # the worker does not host this session, or no more
    "starting",  # its personas are on their way
    "persona_absent",  # this persona is not in the room now
    "persona_muted",
    "cannot_say",  # the model cannot say this line
    "too_many_lines",  # wait to be said
    "no_answer",  # the host's own thread does not answer
]


class Command(BaseModel):
    """A command to one persona; without `persona_id`: all personas of the room."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    room: str
    generation: int
    do: Literal["say", "forget"]
    persona_id: str = ""
    text: str = Field(default="", max_length=LINE_LIMIT)


class Answer(BaseModel):
    """The host's answer: the command is taken, or `refusal` says why not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    refusal: Refusal | None = None
    detail: str = ""  # a sentence for people


TAKEN = Answer()


def mailbox_key(worker_id: str) -> str:
    """Redis key of the list of commands, as JSON, that wait for a worker."""
    return MAILBOX_KEY.format(worker_id=worker_id)


def bell_channel(worker_id: str) -> str:
    """Redis channel that tells a worker to look into its mailbox."""
    return BELL_CHANNEL.format(worker_id=worker_id)


def answer_key(command_id: str) -> str:
    """Redis key of the list that gets a command's answer as JSON."""
    return ANSWER_KEY.format(id=command_id)
