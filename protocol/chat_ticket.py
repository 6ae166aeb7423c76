"""The ticket with which a token service opens a conversation without a room on a worker. Pure.

A client of `/api/chat` talks to the token service, which knows callers and slots; the worker takes
what was sealed for it a moment ago, and nothing else.
"""

import base64
import binascii
import time

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.room_spec import PersonaSpec, RoomSpec, persona_specs
from protocol.seal import Seal

CHAT_PATH = "/api/chat"  # of the token service and of the worker, as moshi.server has it
PURPOSE = "moshi-rooms chat"
TICKET_S = 60.0  # for the way to the worker, and for clocks that differ


class ChatTickets:
    """Writes and reads tickets: a sealed spec with one persona, in base64."""

    def __init__(self, settings: Settings) -> None:
        self._seal = Seal(settings, PURPOSE)

    def write(self, persona: Persona, worker_id: str) -> str:
        """Return a ticket for one conversation with a persona on a worker."""
        spec = RoomSpec(
            room=worker_id,
            personas=persona_specs([persona]),
            worker=worker_id,
            opened_s=time.time(),
        )
        return base64.urlsafe_b64encode(self._seal.close(spec).encode()).decode()

    def read(self, ticket: str, worker_id: str) -> PersonaSpec:
        """Return a ticket's persona. Raises `InvalidInput` for a ticket that is not for now."""
        try:
            sealed = base64.urlsafe_b64decode(ticket.encode()).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("ticket: expected base64") from error
        spec = self._seal.open(sealed, worker_id)
        if abs(time.time() - spec.opened_s) > TICKET_S:
            raise InvalidInput(f"ticket: expected one that is less than {TICKET_S:g} s old")
        return spec.personas[0]
