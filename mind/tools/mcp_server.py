"""One MCP server: connected once for all rooms of a process, and again when it was lost.

The server may only answer calls. It cannot ask for completions, files or input of a person:
the client offers none of that. Its own instructions are not read, and the functions that it listed
when it was connected are the ones that are offered.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import httpx2
import structlog
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    CallToolResult,
    TextContent,
    Tool,
)
from pydantic import ValidationError

from mind.http_client import http_client
from mind.limits import Limits, cut
from mind.tools.function import DESCRIPTION_LIMIT, Function, ToolFailed
from mind.tools.variables import filled_in
from protocol.config.proxies import proxy_url_for
from protocol.config.settings import PROJECT
from protocol.minds import McpTools
from protocol.retry import Retry

FUNCTIONS_LIMIT = 64  # of one server
SCHEMA_LIMIT = 8000  # characters; with a longer one a function is not offered
PAGES_LIMIT = 8  # of its list of functions
OPEN_STREAM_S = 3600.0  # a server may keep its stream of messages open in silence
GOODBYE_S = 1.0  # a session's end is told, and its answer is of no use to us
# Codes by which the SDK tells that a connection or its session is gone; others are a server's word
# on one call, and the calls of other rooms go on.
LOST = frozenset({CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR, REQUEST_TIMEOUT})

log = structlog.get_logger(__name__)


class McpServer:
    """A server and the functions that it offers while it is connected. One event loop."""

    def __init__(self, config: McpTools, limits: Limits) -> None:
        """Connect nothing yet. Raises `InvalidInput` where a variable is not set."""
        self._config = config
        self._limits = limits
        self._log = log.bind(server=_name(config.mcp))
        address = config.mcp if isinstance(config.mcp, str) else None
        self._connect_s = limits.tool_start_s if address is None else limits.tool_connect_s
        self._proxy = None if address is None else proxy_url_for(address)
        self._headers = filled_in(config.headers, "headers")
        self._environment = filled_in(config.env, "env")
        self._retry = Retry(limits.first_retry_s, limits.last_retry_s)
        self._wanted = asyncio.Event()
        self._connecting = False  # asked for, and neither made nor failed
        self._settled = asyncio.Event()
        self._lost = asyncio.Event()
        self._client: Client | None = None
        self.functions: Sequence[Function] = ()
        self._task = asyncio.create_task(self._run(), name="mcp server")

    async def connect(self, within_s: float) -> bool:
        """Wait for the connection, made where there is none; return whether there is one."""
        if self._client is None and not self._connecting and self._retry.ready:
            self._connecting = True
            self._settled.clear()
            self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        return self._client is not None

    async def aclose(self) -> None:
        """End the connection; a command that was started ends too."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        # The SDK's contexts must be left by the task that entered them.
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._serve()
            except Exception as error:
                # The SDK's own text may show an address with a key in it.
                self._log.warning("tool_server_away", error=_kind(error))
                if self._connecting and not self._wanted.is_set():
                    self._retry.failed()
                    self._settle(None, ())
            finally:
                self._forget()

    def _settle(self, client: Client | None, functions: Sequence[Function]) -> None:
        self._client, self.functions = client, functions
        self._connecting = False
        self._settled.set()

    def _forget(self) -> None:
        self._client, self.functions = None, ()

    async def _serve(self) -> None:
        """Connect, and keep the connection until it is lost."""
        self._lost.clear()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._connect_s):
                client = await stack.enter_async_context(await self._open(stack))
                functions = self._offered(await _list_tools(client))
            self._retry.worked()
            self._settle(client, functions)
            self._log.info("tool_server_connected", functions=len(functions))
            await self._lost.wait()

    async def _open(self, stack: AsyncExitStack) -> Client:
        within_s = self._config.within_s
        if isinstance(self._config.mcp, str):
            http = http_client(self._proxy, self._limits.call_bytes, OPEN_STREAM_S, self._headers)
            http.event_hooks = {"request": [_hasten_goodbye]}
            await stack.enter_async_context(http)
            transport = streamable_http_client(self._config.mcp, http_client=http)
        else:
            command, *arguments = self._config.mcp
            transport = stdio_client(
                StdioServerParameters(
                    command=sys.executable if command == "python" else command,
                    args=arguments,
                    env=self._environment,
                    cwd=PROJECT,
                    encoding_error_handler="replace",
                ),
                errlog=stack.enter_context(_nowhere()),
            )
        return Client(transport, read_timeout_seconds=within_s)

    def _offered(self, tools: Sequence[Tool]) -> Sequence[Function]:
        only = self._config.only
        missing = set(only) - {tool.name for tool in tools}
        if missing:
            self._log.warning("tool_server_lacks_functions", missing=sorted(missing))
        return tuple(
            Function(
                re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:64],  # as OpenAI's API wants names
                cut(tool.description or tool.title or tool.name, DESCRIPTION_LIMIT),
                tool.input_schema,
                self._config.within_s,
                partial(self._call, tool.name),
            )
            for tool in tools[:FUNCTIONS_LIMIT]
            if (not only or tool.name in only) and len(json.dumps(tool.input_schema)) < SCHEMA_LIMIT
        )

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self._client is None:
            raise ToolFailed("The function cannot be reached.")
        try:
            result = await self._client.call_tool(name, dict(arguments))
        except ValidationError:
            raise ToolFailed("The function's result cannot be read.") from None
        except Exception as error:  # MCPError, or whatever ends a broken connection
            if isinstance(error, MCPError) and error.code not in LOST:
                raise ToolFailed(f"The function failed: {error.message}") from None
            self._forget()
            self._lost.set()
            self._log.warning("tool_server_lost", error=_kind(error))
            raise ToolFailed("The function cannot be reached.") from None
        text = _text(result)
        if result.is_error:
            raise ToolFailed(text or "The function failed.")
        return text


async def _list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(PAGES_LIMIT):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None or len(tools) >= FUNCTIONS_LIMIT:
            break
    return tools


def _text(result: CallToolResult) -> str:
    """Return a result's text; a picture or a sound is named and left out."""
    parts = [
        block.text if isinstance(block, TextContent) else f"({block.type} left out)"
        for block in result.content
    ]
    return "\n".join(parts)


def _kind(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):  # of the SDK's tasks
        error = error.exceptions[0]
    return f"MCPError {error.code}" if isinstance(error, MCPError) else type(error).__name__


async def _hasten_goodbye(request: httpx2.Request) -> None:
    # A server that hangs would keep the next connection, and the worker's end, waiting.
    if request.method == "DELETE":
        request.extensions["timeout"] = httpx2.Timeout(GOODBYE_S).as_dict()


def _name(server: str | Sequence[str]) -> str:
    """Return how the log names a server: keys may stand in the rest of an address or command."""
    if isinstance(server, str):
        address = urlsplit(server)
        return f"{address.hostname}:{address.port}" if address.port else f"{address.hostname}"
    is_script = server[0] == "python" and len(server) > 1
    return Path(server[1] if is_script else server[0]).name


def _nowhere() -> TextIO:
    # A tool may print what people asked; that belongs into no log.
    return open(os.devnull, "w", encoding="utf-8")
