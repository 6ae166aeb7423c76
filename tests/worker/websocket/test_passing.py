"""Clients that are passed on: some do not come to talk, and some wait for their slot."""

import asyncio
import threading
from socket import socketpair
from typing import Any

import pytest

from protocol.websocket_ticket import ChatTicket
from tests.conftest import SettingsFor
from tests.worker.websocket.caller import calling
from tests.worker.websocket.conftest import PERSONA, Worker
from worker.room_process.remote_engine import RemoteEngine
from worker.websocket.clients import Clients

OPENS = ChatTicket(persona=PERSONA)
WITHIN_S = 10.0


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\n", b"no request\r\n\r\n"])
async def test_a_client_that_does_not_come_to_talk_is_told_as_left(
    head: bytes, settings_for: SettingsFor
) -> None:
    """A client that is gone before its request was served, or whose request is none, has left."""
    left: asyncio.Queue[int] = asyncio.Queue()
    engine: Any = None  # which no client reaches
    clients = Clients(settings_for(), engine, left.put_nowait)
    theirs, ours = socketpair()
    ours.close()
    clients.serve(7, OPENS, head, theirs)
    number = await asyncio.wait_for(left.get(), WITHIN_S)

    assert (number, left.qsize()) == (7, 0)


async def test_a_client_whose_request_opens_no_websocket_is_answered(
    settings_for: SettingsFor,
) -> None:
    """It reads 400, and has left."""
    left: asyncio.Queue[int] = asyncio.Queue()
    engine: Any = None
    clients = Clients(settings_for(), engine, left.put_nowait)
    theirs, ours = socketpair()
    clients.serve(7, OPENS, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", theirs)
    number = await asyncio.wait_for(left.get(), WITHIN_S)
    answer = await asyncio.to_thread(ours.recv, 1000)
    ours.close()

    assert number == 7
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_waits_for_its_slot_holds_up_no_other(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the main process does not answer one client, another one goes on."""
    async with calling(worker.url, **worker.ticket()) as ann:
        await ann.until(lambda: ann.is_ready, "the handshake")
        join, may_join = RemoteEngine.join, threading.Event()

        def slow(*about: Any, **options: Any) -> Any:
            may_join.wait(WITHIN_S)
            return join(*about, **options)

        monkeypatch.setattr(RemoteEngine, "join", slow)
        async with calling(worker.url, **worker.ticket()) as bob:
            begin = len(ann.heard)
            await ann.until(lambda: len(ann.heard) > begin + 20, "20 frames")
            had_come = bob.is_ready
            may_join.set()
            await bob.until(lambda: bob.is_ready, "the other handshake")

    assert not had_come
