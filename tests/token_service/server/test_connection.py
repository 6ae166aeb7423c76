"""Deadlines of a connection: for a request's head and body, and for the reading of an answer."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.settings import Settings
from tests.token_service.players import beat, served, signature
from tests.token_service.server.half_requests import BODY, HEAD, halves
from token_service.app import create_app
from token_service.server import connection, middleware
from token_service.server.sparse_log import OnePerSecond

LARGE, LARGE_BYTES = b"/static-offline-docs/swagger-ui-bundle.js", 1_000_000  # at least
MANY = 20  # answers that are more than the kernel buffers
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncGenerator[Streams]:
    """Open a bare connection to a running service."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(create_app(settings), listening):
            streams = await asyncio.open_connection(*listening.getsockname())
            yield streams
            streams[1].close()
            with suppress(OSError):  # the service closed it
                await streams[1].wait_closed()


async def status(reader: asyncio.StreamReader) -> int:
    """Return the status of the next answer."""
    return int((await reader.readline()).split(b" ")[1])


async def test_a_late_head_ends_the_connection(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service ends a connection whose request's head takes longer than HEAD_S."""
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    async with connected(settings) as (reader, writer):
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)

        assert ended.exception() is not None or ended.result() == b""


@pytest.mark.parametrize("path", [b"/token", b"/sessions"])
async def test_a_late_body_is_refused_and_ends_the_connection(
    settings: Settings, redis: Redis, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that takes longer than BODY_S is answered with 408, and the connection ends."""
    monkeypatch.setattr(middleware, "BODY_S", 0.5)
    await beat(redis)
    async with connected(settings) as (reader, writer):
        writer.write(BODY % path)
        answer = await reader.read()
    head, _, problem = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head
    assert json.loads(problem)["detail"] == "body: expected within 0.5 seconds"


async def test_an_answer_that_is_not_read_ends_the_connection(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service ends a connection whose client does not read its answers for READ_S."""
    monkeypatch.setattr(connection, "READ_S", 0.5)
    async with connected(settings) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % LARGE * MANY)
        await asyncio.sleep(1.5)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        read = 0
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                read += len(piece)

    assert read < MANY * LARGE_BYTES


async def test_a_refusal_waits_for_no_body(keyed: Settings, redis: Redis) -> None:
    """A request without a key is refused before its body is complete, and the connection ends."""
    for half in halves(BODY):
        async with connected(keyed) as (reader, writer):
            writer.write(half)
            answer = await reader.read()

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in answer


async def test_a_refused_whole_request_keeps_its_connection(keyed: Settings, redis: Redis) -> None:
    """A refused whole request leaves its connection open for the next one."""
    whole = HEAD % b"/token" + b"Content-Length: 2\r\n\r\n{}"
    async with connected(keyed) as (reader, writer):
        for _ in range(2):
            writer.write(whole)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)

            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" not in head


@pytest.mark.parametrize("path", [b"/token", b"/sessions", b"/webhook"])
async def test_an_aborted_body_is_not_logged(
    settings: Settings,
    redis: Redis,
    livekit: LiveKit,
    path: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client that hangs up in the middle of a body causes no line in the log."""
    await beat(redis)
    signed = b"\r\nAuthorization: " + signature(b"{}", livekit).encode() + b"\r\nHost:"
    half = (BODY % path).replace(b"\r\nHost:", signed)
    with caplog.at_level(logging.WARNING):
        async with connected(settings) as (_, writer):
            writer.write(half)
            await asyncio.sleep(0.3)
            writer.close()
            await asyncio.sleep(0.3)

    assert [record.getMessage() for record in caplog.records] == []


def test_a_kind_of_line_is_logged_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has one line of a kind each second, with the number of lines left out before."""
    now_s = 100.0
    monkeypatch.setattr("token_service.server.sparse_log.time.monotonic", lambda: now_s)
    sparse, written = OnePerSecond(), list[str]()

    def say(text: str, *about: object) -> None:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, about, None)
        if sparse.filter(record):
            written.append(record.getMessage())

    for number in range(5):
        say("Invalid request %d", number)
    say("Another")
    now_s += 1.5
    say("Invalid request %d", 9)

    assert written == [
        "Invalid request 0",
        "Another",
        "Invalid request 9 (4 more like it were left out)",
    ]
