"""A model's server that ends connections between two requests, as each does some seconds after."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.mind.conftest import Open
from tests.mind.test_answers import call, piece

DONE = call("say", json.dumps({"text": "Hello."}), id="c") + piece({}, "tool_calls")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def dropping(answers: int) -> AsyncGenerator[tuple[str, list[int]]]:
    """Serve so many requests of each connection, and end it at the next; yield what was asked."""
    asked: list[int] = []  # how many on each connection

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(asked)
        asked.append(0)
        while head := await _read(reader):
            asked[place] += 1
            if asked[place] > answers:
                break
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
            writer.write(HEAD % len(DONE) + DONE)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", asked


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def test_a_connection_that_was_kept_and_has_ended_costs_no_answer(open_room: Open) -> None:
    """A question under which a kept connection ends is asked again on a new one."""
    async with dropping(2) as (url, asked), open_room(url=url) as host:
        await host.minds.awake()
        for _ in range(4):
            await host.ask("Hi")
        assert host.sentences == ["Hello."] * 4 and host.troubles == []
    assert len(asked) > 1


async def test_a_server_that_ends_each_connection_is_asked_twice(open_room: Open) -> None:
    """A question is repeated once, and then the server counts as away."""
    async with dropping(0) as (url, asked), open_room(url=url) as host:
        await host.minds.awake()
        asked.clear()
        await host.ask("Hi")
        assert host.troubles == ["mind_away"] and len(asked) == 2
