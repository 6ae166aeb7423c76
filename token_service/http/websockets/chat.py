"""Moshi's WebSocket protocol at `/api/chat`: finds caller, persona and worker, then passes on.

The worker speaks the protocol (`worker/websocket`); messages pass through here as they are.
"""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, WebSocket
from redis.exceptions import RedisError

from protocol.personas import Persona
from protocol.websocket_ticket import CHAT_PATH
from token_service import metrics
from token_service.auth.callers import GuestPass, Scope
from token_service.http.websockets.chat_request import chosen_persona
from token_service.http.websockets.relay import Closing, admit, close, relay
from token_service.service import Service

router = APIRouter()

LOOKS_EVERY_S = 2.0  # whether a guest may still talk
WITHDRAWN = Closing(1008, "The token or link was revoked, or its session has ended.")


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
            guest = caller.guest
            watching = [] if guest is None else [_end_withdrawn(client, service, guest)]
            if (closing := await relay(client, worker, *watching)) is not None:
                await close(client, closing)
        finally:
            await worker.close()


async def _end_withdrawn(client: WebSocket, service: Service, guest: GuestPass) -> None:
    """Close a connection once its token or link was revoked, or its session was ended.

    Without redis, or where the session's record has expired, a conversation goes on.
    """
    while True:
        await asyncio.sleep(LOOKS_EVERY_S)
        with suppress(RedisError):
            if await service.sessions.has_withdrawn(guest):
                return await close(client, WITHDRAWN)
