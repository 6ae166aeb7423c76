"""Moshi's WebSocket protocol at `/api/chat`: finds caller, persona and worker, then passes on.

The worker speaks the protocol (`worker/websocket`); messages pass through here as they are.
"""

from fastapi import APIRouter, WebSocket

from protocol.personas import Persona
from protocol.websocket_ticket import CHAT_PATH
from token_service import metrics
from token_service.auth.callers import Scope
from token_service.http.websockets.chat_request import chosen_persona
from token_service.http.websockets.relay import admit, close, relay
from token_service.service import Service

router = APIRouter()


@router.websocket(CHAT_PATH)
async def chat(client: WebSocket) -> None:
    """Let a client of Moshi's protocol talk to a persona, or refuse the handshake."""

    async def talk(service: Service) -> None:
        await _talk(client, service)

    await admit(client, metrics.CHATS, talk)


async def _talk(client: WebSocket, service: Service) -> None:
    caller = await service.authenticator.caller(client)
    caller.require(Scope.TALK)
    service.audit.require()
    fleet = await service.workers.fleet()
    if caller.guest is not None:  # talks to the first persona of the room
        first = (await service.sessions.of_guest(caller.guest)).personas[0]
        persona = Persona(**first.model_dump(include=set(Persona.model_fields)))
    else:
        usual = service.settings.default_persona
        persona = chosen_persona(client.query_params, service.catalogue, usual, fleet.voices)
    with service.sockets.counted_chat(caller, fleet):
        worker = await service.sockets.open_chat(persona, fleet)
        try:
            service.audit.write("chat_opened", caller, persona=persona.name)
            metrics.CHATS.labels("opened").inc()
            await client.accept()
            if (closing := await relay(client, worker)) is not None:
                await close(client, closing)
        finally:
            await worker.close()
