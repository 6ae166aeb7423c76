"""A scripted language model behind a real OpenAI-compatible endpoint, for tests and benchmarks.

It streams server-sent events as OpenAI's chat completions do. Each request gets the next reply of
the script; a test can read all requests in `requests` afterwards.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Request = dict[str, Any]
Reply = Callable[[web.StreamResponse, Request], Awaitable[None]]


@dataclass(slots=True)
class ScriptedModel:
    """A running endpoint: `url` is its base URL, `requests` holds what it was asked."""

    url: str = ""
    requests: list[Request] = field(default_factory=list[Request])
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # at least once
    keys: list[str] = field(default_factory=list[str])
    replies: list[Reply | int] = field(default_factory=list["Reply | int"])
    headers: dict[str, str] = field(default_factory=dict[str, str])  # of streamed answers
    otherwise: Callable[[Request], Reply | int] | None = None  # once the script is over
    loads_s: float = 0.0  # before the first answer, as Ollama loads a model that nobody asks
    wakes: list[Request] = field(default_factory=list[Request])  # requests without functions

    def reply(self, *replies: Reply | int) -> None:
        """Add replies: a callable that streams, or an HTTP status to refuse with."""
        self.replies += replies

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        asked = await request.json()
        if "tools" not in asked:
            return await self._wake(request, asked)
        self.requests.append(asked)
        self.asked.set()
        self.keys.append(request.headers.get("Authorization", ""))
        reply = self._next(asked)
        if isinstance(reply, int):
            detail = f"refused with the key {self.keys[-1]}"
            error = {"error": {"message": detail}}
            return web.json_response(error, status=reply, headers=self.headers)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", **self.headers})
        await stream.prepare(request)
        await self._load(stream)
        await reply(stream, asked)
        return stream

    async def _wake(self, request: web.Request, asked: Request) -> web.StreamResponse:
        """Answer a request that has the model loaded and is no part of the script."""
        self.wakes.append(asked)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await self._load(stream)
        await text("Hello")(stream, asked)
        return stream

    async def _load(self, stream: web.StreamResponse) -> None:
        """Load the model; where the asker goes, the next request begins anew, as Ollama's does."""
        end_s = time.monotonic() + self.loads_s
        while self.loads_s and time.monotonic() < end_s:
            await stream.write(b": loading\n\n")
            await asyncio.sleep(0.02)
        self.loads_s = 0.0

    def _next(self, asked: Request) -> Reply | int:
        if self.replies:
            return self.replies.pop(0)
        return (
            self.otherwise(asked) if self.otherwise is not None else calls(("leave_to_voice", {}))
        )


@asynccontextmanager
async def scripted_model(port: int = 0) -> AsyncGenerator[ScriptedModel]:
    """Run an endpoint on this event loop, on a loopback port; 0: a free one."""
    model = ScriptedModel()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, port = runner.addresses[0][:2]
        model.url = f"http://{host}:{port}/v1"
        yield model
    finally:
        await runner.cleanup()


def calls(*wanted: tuple[str, dict[str, Any] | str], piece: int = 7, pause_s: float = 0.0) -> Reply:
    """Call functions by name and arguments, the arguments in pieces of so many characters."""

    async def send(stream: web.StreamResponse, _: Request) -> None:
        for index, (name, arguments) in enumerate(wanted):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            head = {"index": index, "id": f"call_{name}_{index}", "type": "function"}
            await _send(stream, [head | {"function": {"name": name, "arguments": ""}}])
            for begin in range(0, len(text), piece):
                await asyncio.sleep(pause_s)
                part = {"arguments": text[begin : begin + piece]}
                await _send(stream, [{"index": index, "function": part}])
        await _end(stream, "tool_calls")

    return send


def whole_calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """Call functions as Ollama does: each whole, and all under the index 0."""

    async def send(stream: web.StreamResponse, _: Request) -> None:
        for number, (name, arguments) in enumerate(wanted):
            function = {"name": name, "arguments": json.dumps(arguments)}
            await _send(stream, [{"index": 0, "id": f"c{number}", "function": function}])
        await _end(stream, "stop")

    return send


def says(text: str, *, piece: int = 7, pause_s: float = 0.0) -> Reply:
    """Have the voice say a text."""
    return calls(("say", {"text": text}), piece=piece, pause_s=pause_s)


def text(content: str) -> Reply:
    """Answer with text outside of any call, as a model does that forgets to call `say`."""

    async def send(stream: web.StreamResponse, _: Request) -> None:
        for word in content.split(" "):
            await _write(stream, {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
        await _end(stream, "stop")

    return send


def raw(*chunks: bytes, forever: bool = False, pause_s: float = 0.0) -> Reply:
    """Send bytes as they are, again and again if wanted; then end the answer."""

    async def send(stream: web.StreamResponse, _: Request) -> None:
        while True:
            for chunk in chunks:
                await stream.write(chunk)
                await asyncio.sleep(pause_s)
            if not forever:
                return

    return send


def looks_up(name: str, arguments: dict[str, str]) -> Callable[[Request], Reply]:
    """Call a function first, and say its result."""

    def script(asked: Request) -> Reply:
        results = results_of(asked)
        if not results:
            return calls((name, arguments))
        result = json.loads(results[-1])
        return says(result.get("result") or f"Sorry: {result['error']}")

    return script


async def hang(stream: web.StreamResponse, _: Request) -> None:
    """Begin an answer, and never continue it."""
    await stream.write(b": wait\n\n")
    await asyncio.sleep(60)


def results_of(asked: Request) -> list[str]:
    """Return the results of functions in a request, as the model reads them."""
    return [message["content"] for message in asked["messages"] if message["role"] == "tool"]


async def _send(stream: web.StreamResponse, tool_calls: Iterable[dict[str, Any]]) -> None:
    delta = {"tool_calls": list(tool_calls)}
    await _write(stream, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


async def _end(stream: web.StreamResponse, reason: str) -> None:
    await _write(stream, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    await _write(stream, {"choices": [], "usage": {"total_tokens": 1}})
    await stream.write(b"data: [DONE]\n\n")


async def _write(stream: web.StreamResponse, fields: dict[str, Any]) -> None:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    await stream.write(f"data: {json.dumps(head | fields)}\n\n".encode())
