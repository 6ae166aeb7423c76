"""A worker's WebSockets: tickets, slots, the protocol, floods, idle clients, draining."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest

from harness.recordings import speech
from protocol.websocket_ticket import ChatTicket, Tickets
from tests.conftest import SettingsFor
from tests.worker.websocket.caller import FRAME, Caller, calling
from tests.worker.websocket.conftest import IDLE_S, PERSONA, SLOTS, WORKER_ID, Worker
from worker.websocket import client, clients
from worker.websocket.own_url import own_url

SPEECH = speech(1.0)


async def refused(worker: Worker, headers: dict[str, str]) -> int:
    """Return the status with which a handshake is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        async with calling(worker.url, headers=headers):
            pass
    return refusal.value.status


async def test_sound_goes_both_ways_after_the_handshake(worker: Worker) -> None:
    """The first message is the handshake; then the client's speech comes back from the echo."""
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        await caller.speak(SPEECH)
        await caller.until(lambda: caller.loudness() > 1e-3, "the echo")

    assert set(caller.kinds[1:]) == {1}
    assert set(map(len, caller.heard)) <= {0, FRAME}


async def test_only_a_fresh_ticket_for_this_worker_opens(
    worker: Worker, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing, malformed, old or foreign ticket is refused with 403."""
    foreign = settings_for(livekit_api_secret="x" * 32)
    strange = Tickets(foreign).write(ChatTicket(persona=PERSONA), WORKER_ID)
    monkeypatch.setattr("protocol.websocket_ticket.time.time", lambda: 1e9)
    old = worker.ticket()["headers"]
    monkeypatch.undo()
    for headers in (
        {},
        {"Authorization": "Bearer rubbish"},
        {"Authorization": f"Bearer {strange}"},
        worker.ticket("worker-2")["headers"],
        old,
    ):
        assert await refused(worker, headers) == 403
    assert worker.engine.used == 0


async def test_a_full_worker_refuses_until_a_client_leaves(worker: Worker) -> None:
    """A worker without a free slot refuses with 503; a slot is free once its client has left."""
    async with AsyncExitStack() as calls:
        for used in range(1, SLOTS + 1):
            caller = await calls.enter_async_context(calling(worker.url, **worker.ticket()))
            await caller.until(lambda caller=caller: caller.is_ready, "the handshake")
            assert (worker.engine.used, worker.admission.free()) == (used, SLOTS - used)
        assert await refused(worker, worker.ticket()["headers"]) == 503
    async with asyncio.timeout(5):
        while worker.admission.free() < SLOTS:  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.02)


async def test_other_kinds_of_messages_are_ignored(worker: Worker) -> None:
    """Control, metadata, error, ping, unknown kinds, texts and empty messages are ignored."""
    async with calling(worker.url, **worker.ticket()) as caller:
        for kind in (0, 2, 3, 4, 5, 6, 200):
            await caller.socket.send_bytes(bytes([kind]) + b"\x03{}")
        await caller.socket.send_bytes(b"")
        await caller.socket.send_str("hello")
        await caller.speak(SPEECH)
        await caller.until(lambda: caller.loudness() > 1e-3, "the echo")


@pytest.mark.parametrize("payload", [b"no pages", b"OggS" + bytes(22) + b"\xff" + bytes(255)])
async def test_a_message_that_is_no_sound_closes_with_a_reason(
    worker: Worker, payload: bytes
) -> None:
    """Malformed sound closes the connection with what was expected."""
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.socket.send_bytes(b"\x01" + payload)
        code, reason = await caller.closes()

    assert code == 1007
    assert reason.startswith("expected")


async def test_a_message_that_is_too_long_closes_the_connection(worker: Worker) -> None:
    """A message of 100,000 bytes closes the connection."""
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.socket.send_bytes(b"\x01" + bytes(100_000))
        code, _ = await caller.closes()

    assert code in (1007, 1009)


async def test_a_client_that_sends_nothing_is_disconnected(worker: Worker) -> None:
    """A client that sends nothing for `IDLE_S` is disconnected with that reason."""
    async with calling(worker.url, **worker.ticket()) as caller:
        code, reason = await caller.closes()

    assert (code, reason) == (1001, f"nothing came for {IDLE_S:g} s")


async def test_an_answered_ping_is_nothing_that_a_client_sends(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends nothing is disconnected although it answers pings in the meantime."""
    monkeypatch.setattr(clients, "PING_S", IDLE_S / 4)
    async with calling(worker.url, **worker.ticket()) as caller:
        code, _ = await caller.closes()

    assert code == 1001


async def test_a_client_that_reads_nothing_is_disconnected(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose queue of frames is full is disconnected with that reason."""

    async def stuck(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(aiohttp.web.WebSocketResponse, "send_bytes", stuck)
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.until(lambda: caller.closed is not None, "the end")

    assert caller.closed == (1008, "the client reads too slowly")


async def test_a_flood_is_read_slowly_and_disturbs_no_other_client(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages beyond the allowance are not read, and another client still gets frames."""
    monkeypatch.setattr(client, "PACKETS_AT_ONCE", 10)
    monkeypatch.setattr(client, "PACKETS_PER_S", 25)
    sent = 0

    async def flood(caller: Caller) -> None:
        nonlocal sent
        while True:
            await caller.socket.send_bytes(b"\x06" * 60_000)
            sent += 1

    async with (
        calling(worker.url, **worker.ticket()) as hostile,
        calling(worker.url, **worker.ticket()) as other,
    ):
        await other.until(lambda: other.is_ready, "the handshake")
        flooding = asyncio.create_task(flood(hostile))
        begin = len(other.heard)
        await other.until(lambda: len(other.heard) > begin + 20, "20 frames")
        flooding.cancel()

    assert sent < 500  # the allowance, and what lies in buffers


async def test_a_drain_waits_for_the_end_of_a_conversation(worker: Worker) -> None:
    """A drain ends once the client has hung up, and not before."""
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        draining = asyncio.create_task(worker.server.drain(600.0))
        await caller.speak(SPEECH)
        await caller.until(lambda: caller.loudness() > 1e-3, "the echo")
        is_over = draining.done()
    async with asyncio.timeout(60.0):
        await draining

    assert not is_over


async def test_a_drain_disconnects_after_its_time(worker: Worker) -> None:
    """After the drain's time a client is disconnected and asked to connect again."""
    async with calling(worker.url, **worker.ticket()) as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        draining = asyncio.create_task(worker.server.drain(0.5))
        await caller.until(lambda: caller.closed is not None, "the end")
        await draining

    assert caller.closed == (1012, "the worker stops; connect again")


def test_a_worker_names_the_address_that_token_services_reach(settings_for: SettingsFor) -> None:
    """It is `WORKER_HOST`, or the address towards redis where the worker listens on all."""
    assert own_url(settings_for(worker_host="10.0.0.5")) == "http://10.0.0.5:8081"
    assert own_url(settings_for(worker_host="::1")) == "http://[::1]:8081"
    everywhere = settings_for(worker_host="0.0.0.0", redis_url="redis://127.0.0.1:6379/0")
    assert own_url(everywhere) == "http://127.0.0.1:8081"
    by_socket = settings_for(worker_host="0.0.0.0", redis_url="unix:///run/redis.sock")
    assert own_url(by_socket) == "http://127.0.0.1:8081"
