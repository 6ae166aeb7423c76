"""Commands to the host of a room: say a line, forget. Each is carried out once or refused. Pure.

The token service appends a command to its worker's mailbox, a list in redis. The worker takes it
out, has the room's host carry it out, and appends the host's answer to a list of the command's own.
Taking it out decides: if the worker has not within `ANSWER_WITHIN_S`, the token service takes the
command back, and it is not carried out. No clocks are compared. Only our own processes reach redis:
a participant cannot forge a command.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.records.stored import known_or

ANSWER_WITHIN_S = 3.0
LIFE_S = 10  # of mailbox and answer in redis: longer than their readers wait
LINE_LIMIT = 500  # characters of a line to say
LINES_WAITING = 8  # most of one persona, beside the line that it says

Refusal = Literal[
    "not_live",  # the worker does not host this session now
    "starting",  # the personas are still joining
    "persona_absent",  # the persona is not in the room now
    "persona_muted",
    "cannot_say",  # the model cannot say this line
    "too_many_lines",  # `LINES_WAITING` wait
    "no_answer",  # the host's thread does not answer
]


class Sent(BaseModel):
    """The part of a command that every version reads: the id under which its answer is written."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str


class Command(Sent):
    """A command to one persona, or, without `persona_id`, to all personas of the room."""

    room: str
    generation: int
    do: Literal["say", "forget"]
    persona_id: str = ""
    text: str = Field(default="", max_length=LINE_LIMIT)


class Answer(BaseModel):
    """The host's answer: the command is taken, or refused for a reason."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    refusal: Annotated[Refusal | None, known_or("no_answer")] = None
    detail: str = ""  # a sentence for people


TAKEN = Answer()


def mailbox_key(worker_id: str) -> str:
    return f"moshi:commands:{worker_id}"  # a list of `Command`, as JSON


def answer_key(command_id: str) -> str:
    return f"moshi:answer:{command_id}"  # a list that gets one `Answer`, as JSON
