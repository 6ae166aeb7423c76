"""An MCP server over HTTP that hangs, written out by hand: no SDK's server does that."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from structlog.testing import capture_logs

from harness.language_model import Reply, Request, ScriptedModel, calls, results_of, says
from tests.mind.conftest import Open, chat
from tests.mind.test_tools import weather, weather_server

NO_RETRY_WAIT = {"first_retry_s": 0.0, "last_retry_s": 0.0}
HANGS_S = 30.0


@dataclass(slots=True)
class HangingServer:
    """An MCP server with the function `order`. It hangs at its methods in `hangs`."""

    hangs: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])
    forgets: bool = False  # the session, once

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        message = await request.json() if request.method == "POST" else {}
        method = message.get("method", request.method)
        self.asked.append(method)
        if method in self.hangs:
            await asyncio.sleep(HANGS_S)
        if method == "tools/call" and self.forgets:
            self.forgets = False
            return web.Response(status=404)
        if "id" not in message:
            return web.Response(status=202 if message else 405)
        result = RESULTS.get(method)
        said = {"result": result} if result else {"error": {"code": -32601, "message": "?"}}
        reply = {"jsonrpc": "2.0", "id": message["id"]} | said
        return web.json_response(reply, headers={"Mcp-Session-Id": "s"})


ORDER = {"name": "order", "inputSchema": {"type": "object"}}
RESULTS: dict[str, dict[str, Any]] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "hanging", "version": "1"},
    },
    "tools/list": {"tools": [ORDER]},
    "tools/call": {"content": [{"type": "text", "text": "ordered"}]},
}


@asynccontextmanager
async def running(server: HangingServer) -> AsyncGenerator[str]:
    """Serve it over HTTP; yield its address."""
    app = web.Application()
    app.router.add_route("*", "/mcp", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    finally:
        await runner.cleanup()


def orders_once(asked: Request) -> Reply:
    """Order where that is offered, and say so."""
    is_offered = any(each["function"]["name"] == "order" for each in asked["tools"])
    return calls(("order", {})) if is_offered and not results_of(asked) else says("Yes.")


async def test_a_server_that_hangs_at_the_end_is_found_again(
    open_room: Open, model: ScriptedModel
) -> None:
    """A session whose end the server does not answer keeps no room waiting, and no worker."""
    server = HangingServer({"DELETE"}, forgets=True)
    model.otherwise = orders_once
    async with running(server) as url:
        async with open_room(chat({"mcp": url}), tool_wait_s=5.0, **NO_RETRY_WAIT) as host:
            for _ in range(2):
                await host.ask("One pizza, please.")
            assert host.tools == [("order", False), ("order", True)]
            begun_s = time.monotonic()
        assert time.monotonic() - begun_s < 5.0


async def test_a_server_that_hangs_while_it_is_connected_is_found_again(
    open_room: Open, model: ScriptedModel
) -> None:
    """A server that does not tell its functions is asked for them again; the log says which."""
    server = HangingServer({"DELETE", "tools/list"})
    model.otherwise = orders_once
    async with running(server) as url:
        mind = chat({"mcp": f"{url}?key=secret"})
        with capture_logs() as logs:
            async with open_room(mind, tool_connect_s=1.0, **NO_RETRY_WAIT) as host:
                server.hangs = set()
                await host.ask("One pizza, please.")
                assert host.tools == [("order", True)]
    away = next(each for each in logs if each["event"] == "tool_server_away")
    assert away["server"] == urlsplit(url).netloc and away["error"] == "TimeoutError"


async def test_arguments_that_are_no_text_reach_no_function(
    open_room: Open, model: ScriptedModel
) -> None:
    """Half a surrogate pair is in no UTF-8: the connection of all rooms was lost with it."""
    half = '{"city": "\\ud83d"}'
    model.reply(calls(("weather", half)), says("What?"))
    async with weather_server() as (url, asked), open_room(chat(weather(url))) as host:
        await host.ask("Snow?")
        assert asked == [] and host.sentences == ["What?"] and host.tools == []


BINARY_SERVER = r"""
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = RESULTS.get(asked["method"])
    said = {"result": result} if result else {"error": {"code": -32601, "message": "?"}}
    if asked["method"] == "tools/call":
        sys.stdout.buffer.write(b"\x89PNG\xff\xfe\x00\n")
    line = json.dumps({"jsonrpc": "2.0", "id": asked["id"]} | said) + "\n"
    sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()
"""


async def test_bytes_that_are_no_text_cost_no_connection(
    open_room: Open, model: ScriptedModel, tmp_path: Path
) -> None:
    """A command that prints a picture beside its answers keeps its connection and its call."""
    program = tmp_path / "binary.py"
    program.write_text(f"RESULTS = {RESULTS!r}\n{BINARY_SERVER}")
    model.otherwise = orders_once
    async with open_room(chat({"mcp": ["python", str(program)]}), **NO_RETRY_WAIT) as host:
        for _ in range(2):
            await host.ask("One pizza, please.")
        assert host.tools == [("order", True)] * 2 and host.troubles == []
