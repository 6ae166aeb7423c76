"""Passes the messages of a client's WebSocket on to a worker's and back, and refuses handshakes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType
from fastapi import WebSocket, WebSocketDisconnect
from prometheus_client import Counter
from redis.exceptions import RedisError

from protocol.errors import InvalidInput
from protocol.websocket_ticket import LARGEST_BYTES
from token_service.errors import answer_to
from token_service.refusals import Refused
from token_service.service import Service

SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})  # the others are never sent
PASSED = (WSMsgType.BINARY, WSMsgType.TEXT)


class Closing(NamedTuple):
    """A close code of RFC 6455, and a sentence."""

    code: int
    reason: str


WORKER_GONE = Closing(1012, "The worker is gone. Connect again.")  # RFC 6455: service restart


async def admit(
    client: WebSocket, outcomes: Counter, talk: Callable[[Service], Awaitable[None]]
) -> None:
    """Let a client talk, or refuse its handshake with the reason; count the outcome."""
    try:
        await talk(client.app.state.service)
    except (Refused, InvalidInput, RedisError) as error:
        outcomes.labels(error.code if isinstance(error, Refused) else "refused").inc()
        await client.send_denial_response(await answer_to(client, error))


async def relay(
    client: WebSocket, worker: ClientWebSocketResponse, *more: Coroutine[Any, Any, None]
) -> Closing | None:
    """Pass messages on until one side ends, or one of `more`.

    Return how the worker ended, or why the client is to end; None where the client has left.
    """
    ways = _from_worker(worker, client), _from_client(client, worker)
    passing = [asyncio.create_task(each) for each in ways]
    tasks = [*passing, *map(asyncio.create_task, more)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next((each.result() for each in passing if each.done()), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def close(client: WebSocket, closing: Closing) -> None:
    """Close a client's connection, if it is still open."""
    with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: it is closed already
        await client.close(*closing)


async def _from_client(client: WebSocket, worker: ClientWebSocketResponse) -> Closing | None:
    """Return why the client is to end; None where it has left."""
    with suppress(WebSocketDisconnect, ClientError, ConnectionError):
        while (message := await client.receive())["type"] == "websocket.receive":
            sound: bytes = message.get("bytes") or b""
            if len(sound) > LARGEST_BYTES:
                reason = f"message: {len(sound)} bytes; expected at most {LARGEST_BYTES}"
                return Closing(1009, reason)
            await worker.send_bytes(sound)
    return None


async def _from_worker(worker: ClientWebSocketResponse, client: WebSocket) -> Closing | None:
    """Return how the worker ended; None where the client has left."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while (message := await worker.receive()).type in PASSED:
            if message.type is WSMsgType.TEXT:
                await client.send_text(message.data)
            else:
                await client.send_bytes(message.data)
        if message.type is WSMsgType.CLOSE and message.data in SENDABLE:
            return Closing(message.data, message.extra or "")
        return WORKER_GONE
    return None
