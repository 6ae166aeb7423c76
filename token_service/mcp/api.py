"""Our HTTP API as the tools call it, with the caller's own rights. Problems become sentences."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from token_service.http.access import caller_of

TIMEOUT_S = 20.0
PASSED_ON = ("authorization", "host", "origin", "traceparent")  # by which a caller is known


class Api:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    async def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Return the service's answer. Raises `ToolError` with the problem's sentence."""
        answer = await self._send(method, path, body, query)
        return answer.json() if answer.content else None

    async def require_manage(self) -> None:
        """Raise `ToolError` with the problem's sentence unless the caller may end sessions."""
        answer = await self._request("DELETE", "/sessions/none")  # needs the scope before the id
        if answer.status_code != HTTPStatus.NOT_FOUND:
            raise ToolError(_sentence(answer))

    async def events(self, session_id: str, after: str = "0") -> list[tuple[str, dict[str, Any]]]:
        """Return the events that a session has stored after one of them, each with its id."""
        path = f"/sessions/{session_id}/events"
        answer = await self._send("GET", path, None, {"follow": "false"}, {"Last-Event-ID": after})
        blocks = [block.split("\n") for block in answer.text.split("\n\n")]
        fields = [dict(line.split(": ", 1) for line in block if ": " in line) for block in blocks]
        return [(each["id"], json.loads(each["data"])) for each in fields if "data" in each]

    async def _send(
        self,
        method: str,
        path: str,
        body: object,
        query: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        answer = await self._request(method, path, json=body, params=query, headers=headers)
        if answer.is_success or path == "/ready":
            return answer
        raise ToolError(_sentence(answer))

    async def _request(self, method: str, path: str, **fields: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **fields)
        except httpx.HTTPError as error:
            sentence = f"The token service at {self.url} does not answer: {type(error).__name__}."
            raise ToolError(sentence) from error


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError):
        return f"The token service answered with status {answer.status_code}."


@asynccontextmanager
async def of_request(request: Request) -> AsyncGenerator[Api]:
    """Call the service that serves this very request, as its sender: from the same address.

    Only the request itself is counted: `converse` looks for an answer twice a second.
    """
    caller = await caller_of(request)

    async def as_caller(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"caller": caller}
        await request.app(scope, receive, send)

    sender = (request.client.host, request.client.port) if request.client else ("", 0)
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    transport = httpx.ASGITransport(
        as_caller,
        raise_app_exceptions=False,
        client=sender,
        root_path=request.scope["root_path"],
    )
    base = str(request.base_url)
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as http:
        yield Api(http)


@asynccontextmanager
async def of_address(url: str, bearer: str) -> AsyncGenerator[Api]:
    """Call a token service by its address."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S) as http:
        yield Api(http)
