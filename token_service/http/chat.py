"""Moshi's WebSocket protocol at `/api/chat`: finds caller, persona and worker, then passes on.

The worker speaks the protocol (`worker/websocket`); messages pass through here as they are.
"""

import asyncio
from contextlib import suppress

import structlog
from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from redis.exceptions import RedisError

from protocol.chat_ticket import CHAT_PATH
from protocol.errors import InvalidInput
from protocol.personas import Persona
from token_service import metrics
from token_service.auth.callers import GuestPass, Scope
from token_service.errors import Refused, answer_to, bad_bearer, over
from token_service.http.chat_request import chosen_persona
from token_service.service import Service

log = structlog.stdlib.get_logger(__name__)
router = APIRouter()

WORKER_GONE = 1012  # RFC 6455's registry: service restart
SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})  # the others are never sent


@router.websocket(CHAT_PATH)
async def chat(client: WebSocket) -> None:
    """Let a client of Moshi's protocol talk to a persona, or refuse the handshake."""
    try:
        await _talk(client, client.app.state.service)
    except (Refused, InvalidInput, RedisError) as error:
        metrics.CHATS.labels(error.code if isinstance(error, Refused) else "refused").inc()
        await client.send_denial_response(await answer_to(client, error))


async def _talk(client: WebSocket, service: Service) -> None:
    caller = await service.authenticator.caller(client)
    caller.require(Scope.TALK)
    service.audit.require()
    fleet = await service.workers.fleet()
    if caller.guest is not None:
        persona = await _guests_persona(service, caller.guest)
    else:
        usual = service.settings.default_persona
        persona = chosen_persona(client.query_params, service.catalogue, usual, fleet.voices)
    with service.chats.counted(caller, fleet):
        worker = await service.chats.open(persona, fleet)
        try:
            service.audit.write("chat_opened", caller, persona=persona.name)
            metrics.CHATS.labels("opened").inc()
            await client.accept()
            await _relay(client, worker)
        finally:
            await worker.close()


async def _guests_persona(service: Service, guest: GuestPass) -> Persona:
    """Return the first persona of the room to which a link or a participant's token leads."""
    if await service.passes.is_link_revoked(guest):
        raise bad_bearer()
    spec = await service.specs.read(guest.room)
    if spec is None or spec.ended or guest.session not in ("", spec.session):
        raise over()
    return Persona(**spec.personas[0].model_dump(include=set(Persona.model_fields)))


async def _relay(client: WebSocket, worker: ClientWebSocketResponse) -> None:
    """Pass messages on until one side ends; close the other with the same reason."""
    tasks = {
        asyncio.create_task(_from_client(client, worker), name="chat from client"),
        asyncio.create_task(_from_worker(worker, client), name="chat from worker"),
    }
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _from_client(client: WebSocket, worker: ClientWebSocketResponse) -> None:
    with suppress(WebSocketDisconnect, ClientError, ConnectionError):
        while (message := await client.receive())["type"] == "websocket.receive":
            await worker.send_bytes(message.get("bytes") or b"")


async def _from_worker(worker: ClientWebSocketResponse, client: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: the client is closed already
        while (message := await worker.receive()).type is WSMsgType.BINARY:
            await client.send_bytes(message.data)
        if message.type is WSMsgType.CLOSE and message.data in SENDABLE:
            await client.close(message.data, message.extra)
        else:
            await client.close(WORKER_GONE, "The worker is gone. Connect again.")
