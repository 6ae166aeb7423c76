"""The MCP server: its tools, resources and prompts. Imported with the first use: it takes a second.

A tool calls our own HTTP API with the rights of its caller, so both have the same rules and words.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any
from urllib.parse import urlencode

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from pydantic import Field
from starlette.requests import Request

from protocol.events import AFTER_ENDED_S
from protocol.recordings.names import SESSION
from protocol.text import Matching
from token_service.auth.guest_links import LONGEST_S, SHORTEST_S
from token_service.mcp import conversation
from token_service.mcp.api import Api, of_address, of_request
from token_service.mcp.prompts import add_prompts

INSTRUCTIONS = """Rooms in which people talk with AI voices. `open_session` gives a link: a person
opens it in a browser and talks. Then a persona says your lines (`say`), or says one and waits for
the person's answer (`converse`). `end_session` ends the call."""
LOOK_EACH_S = 0.5
WAIT_MOST_S = 120.0

ApiOf = Callable[[Context], AbstractAsyncContextManager[Api]]
Session = Annotated[  # becomes a part of paths, and must not lead to another one
    str,
    Matching(SESSION, "the id that `open_session` returned, as 3f2c9a81d0e4b5c6"),
    Field(description="The id that `open_session` returned."),
]
Line = Annotated[str, Field(description="What the persona is to say, word for word.")]
PersonaId = Annotated[str, Field(description="Whose line it is; needed with several personas.")]
Personas = Annotated[list[str], Field(description="Names of `list_personas`; none: the default.")]


def make_server(url: str = "", bearer: str = "") -> MCPServer:
    """Return the server: for a service at an address, or for the one that serves the request."""
    server = MCPServer("moshi-rooms", instructions=INSTRUCTIONS, log_level="WARNING")

    def api_of(context: Context) -> AbstractAsyncContextManager[Api]:
        if url:
            return of_address(url, bearer)
        request = context.request_context.request
        assert isinstance(request, Request)  # stdio has none, and an address instead
        return of_request(request)

    _add_lookups(server, api_of)
    _add_calls(server, api_of)
    _add_reports(server, api_of)
    add_prompts(server)
    return server


def _add_lookups(server: MCPServer, api_of: ApiOf) -> None:
    """Add what lists personas and voices, and the resource of one persona."""

    @server.tool()
    async def list_personas(ctx: Context) -> list[dict[str, Any]]:
        """List the personas to talk with, and the lines that each can say (null: any line)."""
        async with api_of(ctx) as api:
            return await api.call("GET", "/personas")

    @server.tool()
    async def list_voices(ctx: Context) -> list[str]:
        """List the voices; empty if the model has a single one."""
        async with api_of(ctx) as api:
            return await api.call("GET", "/voices")

    @server.resource("moshi://personas/{name}", mime_type="application/json")
    async def persona(name: str, ctx: Context) -> str:
        """Return a persona: its prompt, voice, greeting and lines."""
        async with api_of(ctx) as api:
            found = [each for each in await api.call("GET", "/personas") if each["name"] == name]
        if not found:
            raise ResourceNotFoundError(f"There is no persona {name!r:.80}.")
        return json.dumps(found[0])


def _add_calls(server: MCPServer, api_of: ApiOf) -> None:
    """Add what opens and ends sessions, and what personas say in them."""

    @server.tool()
    async def open_session(
        ctx: Context,
        personas: Personas | None = None,
        lives_s: Annotated[
            int, Field(ge=SHORTEST_S, le=LONGEST_S, description="How long the link is valid.")
        ] = 3600,
    ) -> dict[str, Any]:
        """Open a room with personas. `link` is for a person: it leads into the room by itself."""
        async with api_of(ctx) as api:
            await api.require_manage()  # for the link, and to end the session
            opened = await api.call("POST", "/sessions", {"personas": personas or []})
            session = f"/sessions/{opened['id']}"
            try:
                guest = await api.call("POST", f"{session}/guests", {"lives_s": lives_s})
            except ToolError:
                await api.call("DELETE", session)
                raise
            query = urlencode({"room": guest["room"]})
            link = f"{api.url}/?{query}#{urlencode({'guest': guest['bearer']})}"
        shown = {key: opened[key] for key in ("id", "room", "state", "waiting", "personas")}
        return shown | {"link": link, "link_ends_at_s": guest["ends_at_s"]}

    @server.tool()
    async def end_session(ctx: Context, session_id: Session) -> str:
        """End a session: all participants leave the room, and its links are no longer valid."""
        async with api_of(ctx) as api:
            await api.call("DELETE", f"/sessions/{session_id}")
        return "The session has ended."

    @server.tool()
    async def say(ctx: Context, session_id: Session, text: Line, persona_id: PersonaId = "") -> str:
        """Let a persona say a line at its next pause."""
        async with api_of(ctx) as api:
            await _say(api, session_id, text, persona_id)
        return "The persona says it at its next pause."

    @server.tool()
    async def converse(
        ctx: Context,
        session_id: Session,
        text: Line,
        persona_id: PersonaId = "",
        wait_s: Annotated[float, Field(ge=1, le=WAIT_MOST_S)] = 30.0,
    ) -> dict[str, Any]:
        """Say a line and wait for the person's answer; `answer` is empty if there was none."""
        async with api_of(ctx) as api:
            before = await api.events(session_id)
            last = before[-1][0] if before else "0"
            await _say(api, session_id, text, persona_id)
            since = await _answered(api, session_id, last, wait_s)
        found = conversation.answer(since)
        return {"answer": found, "transcript": conversation.transcript(since)}


def _add_reports(server: MCPServer, api_of: ApiOf) -> None:
    """Add what tells about a session so far, and about the service."""

    @server.tool()
    async def transcript(ctx: Context, session_id: Session) -> list[dict[str, Any]]:
        """Return the words of people and personas so far."""
        async with api_of(ctx) as api:
            return conversation.transcript([each for _, each in await api.events(session_id)])

    @server.tool()
    async def events(ctx: Context, session_id: Session) -> list[dict[str, Any]]:
        """Return the events so far: people, states, turns, lines, warnings, the end."""
        async with api_of(ctx) as api:
            return [each for _, each in await api.events(session_id)]

    @server.tool()
    async def status(ctx: Context) -> dict[str, Any]:
        """Tell whether a conversation can begin now, and the state of each worker."""
        async with api_of(ctx) as api:
            return await api.call("GET", "/ready") | await api.call("GET", "/status")


async def _say(api: Api, session_id: str, text: str, persona_id: str) -> None:
    body = {"text": text} | ({"persona_id": persona_id} if persona_id else {})
    await api.call("POST", f"/sessions/{session_id}/say", body)


async def _answered(api: Api, session_id: str, last: str, wait_s: float) -> list[dict[str, Any]]:
    """Return the events after the last one, until people have answered and are silent."""
    found: list[dict[str, Any]] = []
    deadline_s, heard_s = time.monotonic() + wait_s, time.monotonic()
    while time.monotonic() < deadline_s:
        await asyncio.sleep(LOOK_EACH_S)
        for event_id, event in await api.events(session_id, last):
            last = event_id
            found.append(event)
            if event["type"] == "ended":  # the last words may come after it
                deadline_s = min(deadline_s, time.monotonic() + AFTER_ENDED_S)
            if event["type"] == "transcript" and not event["persona_id"]:
                heard_s = time.monotonic()
        if conversation.answer(found) and time.monotonic() - heard_s > conversation.SETTLED_S:
            break
    return found
