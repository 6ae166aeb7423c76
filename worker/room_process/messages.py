"""The messages between the worker's main process and its processes of rooms. Pure.

Numbers name what a message is about: an occupant of a slot, a listening, a call, a WebSocket
client. The process that asks gives them, and uses none twice.
"""

from socket import socket
from typing import Any, Literal, NamedTuple

from protocol.commands import Answer, Command
from protocol.heartbeat import Outcome
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from protocol.websocket_ticket import ChatTicket, RoomTicket
from worker.engine.arrays import Pcm
from worker.engine.door import KeptFor
from worker.engine.model import ModelFacts, Remembered
from worker.engine.slots import Column
from worker.hearing.recogniser import HeardWords
from worker.room.job import RoomJob


class Alive(NamedTuple):
    """A sign of life, sent where nothing else was for a while. Both directions."""


# From the main process.


class Begin(NamedTuple):
    """The model is loaded: jobs may come."""

    facts: ModelFacts
    hears: bool  # whether there is a recogniser


class Serve(NamedTuple):
    """Host a room."""

    job: RoomJob


class Leave(NamedTuple):
    """Have a host leave."""

    job_id: str
    reason: str


class Follow(NamedTuple):
    """Give a host its room's spec."""

    job_id: str
    spec: RoomSpec


class Execute(NamedTuple):
    """Have a host carry out a command."""

    job_id: str
    call: int
    command: Command
    until_s: float  # monotonic; later it is not carried out


class ServeClient(NamedTuple):
    """Serve a WebSocket client, whose connection is passed on beside the message."""

    client: int
    opens: ChatTicket | RoomTicket
    head: bytes  # of the client's request, which is not answered yet
    connection: socket | None

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out the connection, which is no bytes."""
        return ServeClient, (*self[:-1], None)


class EndClients(NamedTuple):
    """End every WebSocket client: the worker stops."""


class FrameOut(NamedTuple):
    """A frame that the engine made: the fields of `worker.engine.slots.SlotFrame`."""

    occupant: int
    pcm: Pcm
    text: int
    unforced_text: int
    number: int  # `SlotFrame.index`, which tuples have as well
    arrived_s: float
    column: Column | None


class SlotLost(NamedTuple):
    """An occupant's slot has failed."""

    occupant: int


class CallEnded(NamedTuple):
    """A line was said, as a whole or not; or a memory is there."""

    occupant: int
    call: int
    was_whole: bool


class Answered(NamedTuple):
    """The answer to `Join`, `AskFree` or `Listen`: why not, or "" for yes."""

    call: int
    refusal: str


class Words(NamedTuple):
    """Words of one listening."""

    listening: int
    words: HeardWords


class ListeningEnded(NamedTuple):
    """The last words of a listening that was closed have come."""

    listening: int


class Stop(NamedTuple):
    """End once all that waits is written: no host is left."""


ToRooms = (
    Alive | Begin | Serve | Leave | Follow | Execute | ServeClient | EndClients | FrameOut
    | SlotLost | CallEnded | Answered | Words | ListeningEnded | Stop
)  # fmt: skip


# From a process of rooms.


class Started(NamedTuple):
    """The process is ready for `Begin`."""

    has_minds: bool


class CannotStart(NamedTuple):
    """The process ends: something is wrong that an operator has to mend."""

    why: str


class JobEnded(NamedTuple):
    """A host has left."""

    job_id: str
    outcome: Outcome


class SlotsSettled(NamedTuple):
    """As `JobReports.needs_no_more_slots`."""

    job_id: str


class TookOver(NamedTuple):
    """As `JobReports.took_over`."""

    job_id: str


class Changed(NamedTuple):
    """As `JobReports.changed`."""


class Executed(NamedTuple):
    """A host's answer to a command."""

    job_id: str
    call: int
    answer: Answer


class ClientLeft(NamedTuple):
    """A WebSocket client is served no more."""

    client: int


class AskFree(NamedTuple):
    """Ask whether a slot is free."""

    call: int


class Join(NamedTuple):
    """Take a slot; answered, and the occupant is known from then on."""

    call: int
    occupant: int
    persona: Persona
    remembered: Remembered | None
    kept_for: KeptFor


class FrameIn(NamedTuple):
    """A frame that an occupant hears."""

    occupant: int
    pcm: Pcm


Unanswered = Literal["leave", "hush", "drop_lines", "forget"]


class Order(NamedTuple):
    """One of the engine's calls that have no answer."""

    occupant: int
    do: Unanswered
    options: dict[str, Any]


class Say(NamedTuple):
    """Say a line; `CallEnded` follows."""

    occupant: int
    call: int
    text: str


class CatchUp(NamedTuple):
    """Remember further columns; `CallEnded` follows."""

    occupant: int
    call: int
    more: Remembered | None


class Listen(NamedTuple):
    """Start to listen to a person; answered."""

    call: int
    listening: int
    likely: str


class Sound(NamedTuple):
    """A frame of a person's sound; None: silence."""

    listening: int
    pcm: Pcm | None


class StopListening(NamedTuple):
    """Recognise what was pushed, then end; `ListeningEnded` follows."""

    listening: int


class Figures(NamedTuple):
    """The counters and histograms of this process up to now: as `figures.own_samples`."""

    samples: dict[tuple[str, str, tuple[tuple[str, str], ...]], float]


FromRooms = (
    Alive | Started | CannotStart | JobEnded | SlotsSettled | TookOver | Changed
    | Executed | ClientLeft | AskFree | Join | FrameIn | Order | Say | CatchUp
    | Listen | Sound | StopListening | Figures
)  # fmt: skip
