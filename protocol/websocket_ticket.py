"""The ticket with which a token service opens a WebSocket on a worker for a client. Pure.

A client talks to the token service, which knows callers and slots; the worker takes a ticket that
was signed for it a moment ago, and nothing else.
"""

import time
from typing import Literal

from jwt import PyJWS, PyJWTError
from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.config.secret import key_for
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.room_spec import PersonaSpec
from protocol.wire import Consent

CHAT_PATH = "/api/chat"  # of the token service, as moshi.server has it; of workers, for any ticket
PURPOSE = "moshi-rooms websocket"
ALGORITHM = "HS256"
LARGEST_BYTES = 70_000  # of a message, on the whole way: the largest Ogg page has 65,307
TICKET_S = 60.0  # for the way to the worker, and for clocks that differ

SoundFormat = Literal["pcm", "opus"]


class ChatTicket(BaseModel):
    """A conversation without a room, in Moshi's protocol."""

    model_config = ConfigDict(frozen=True)

    persona: PersonaSpec


class RoomTicket(BaseModel):
    """A participant of a room: its LiveKit token, its format, and the notice of a recording."""

    model_config = ConfigDict(frozen=True)

    token: str
    format: SoundFormat
    recording: Consent | None = None


class SignedTicket(BaseModel):
    """The content of a ticket: its WebSocket, its worker, and when it was signed (epoch)."""

    worker_id: str
    issued_s: float
    opens: ChatTicket | RoomTicket


class Tickets:
    """Writes and reads tickets."""

    def __init__(self, settings: Settings) -> None:
        self._key = key_for(settings, PURPOSE)

    def write(self, opens: ChatTicket | RoomTicket, worker_id: str) -> str:
        """Return a ticket for one WebSocket on a worker."""
        ticket = SignedTicket(worker_id=worker_id, issued_s=time.time(), opens=opens)
        return PyJWS().encode(ticket.model_dump_json().encode(), self._key, ALGORITHM)

    def read(self, text: str, worker_id: str) -> ChatTicket | RoomTicket:
        """Return a ticket's content. Raises `InvalidInput` unless it is for this worker, now."""
        try:
            content = PyJWS().decode(text, self._key, [ALGORITHM])
            ticket = SignedTicket.model_validate_json(content)
        except (PyJWTError, ValidationError) as error:
            raise InvalidInput("ticket: expected one of a token service of ours") from error
        if ticket.worker_id != worker_id:
            raise InvalidInput(f"ticket: expected one for {worker_id}")
        if abs(time.time() - ticket.issued_s) > TICKET_S:
            raise InvalidInput(f"ticket: expected one that is less than {TICKET_S:g} s old")
        return ticket.opens
