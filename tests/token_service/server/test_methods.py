"""Methods: HEAD is answered wherever GET is, and a 405 names the allowed methods."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.players import beat, opened, served
from token_service.app import create_app

READS = (
    "/",
    "/health",
    "/ready",
    "/status",
    "/metrics",
    "/personas",
    "/voices",
    "/api/config",
    "/docs",
    "/openapi.json",
    "/sessions",
    "/recordings",
    "/sessions/unknown",
    "/icon.svg",
    "/nowhere",
)
WRONG = (  # method, path, methods that are allowed
    ("GET", "/token", {"POST"}),
    ("HEAD", "/token", {"POST"}),
    ("GET", "/webhook", {"POST"}),
    ("GET", "/sessions/x/say", {"POST"}),
    ("POST", "/health", {"GET", "HEAD"}),
    ("POST", "/", {"GET", "HEAD"}),
    ("PUT", "/sessions", {"GET", "HEAD", "POST"}),
    ("PUT", "/sessions/x", {"GET", "HEAD", "DELETE"}),
    ("POST", "/icon.svg", {"GET", "HEAD"}),
)
ENDED_WITHIN_S = 10.0


@pytest.fixture
async def web(
    settings: Settings, redis: Redis, tmp_path: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve the service and a page with a real uvicorn; yield a client."""
    (tmp_path / "index.html").write_text("<p>the page</p>")
    (tmp_path / "icon.svg").write_text("<svg/>")
    app = create_app(settings.model_copy(update={"web_dir": tmp_path}))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with served(app, listening), httpx.AsyncClient(base_url=url) as client:
            yield client


async def test_head_is_answered_as_get_is(web: httpx.AsyncClient, redis: Redis) -> None:
    """HEAD has the status and headers of GET, and no body."""
    await beat(redis)
    for path in READS:
        head, get = await web.head(path), await web.get(path)
        changing = {"date"} | ({"content-length"} if path == "/metrics" else set[str]())
        shown, expected = (
            {key: value for key, value in answer.headers.items() if key not in changing}
            for answer in (head, get)
        )

        assert (head.status_code, shown, head.content) == (get.status_code, expected, b""), path


def test_every_get_path_is_in_reads(settings: Settings) -> None:
    """Each path without parameters that the document has GET for is in READS."""
    paths = create_app(settings).openapi()["paths"]
    read = {path for path, methods in paths.items() if "get" in methods and "{" not in path}

    assert read <= set(READS)


async def test_head_of_a_stream_ends(web: httpx.AsyncClient, redis: Redis) -> None:
    """HEAD of a session's events ends at once and takes none of the 50 streams."""
    await beat(redis)
    session = (await opened(web))["id"]
    async with asyncio.timeout(ENDED_WITHIN_S):
        heads = [await web.head(f"/sessions/{session}/events") for _ in range(60)]

    assert {head.status_code for head in heads} == {200}, "50 streams are the limit"
    assert heads[0].headers["content-type"].startswith("text/event-stream")


async def test_a_wrong_method_is_answered_with_the_allowed_ones(web: httpx.AsyncClient) -> None:
    """A method that a path does not have is answered with 405 and the allowed methods."""
    for method, path, allowed in WRONG:
        answer = await web.request(method, path)

        assert answer.status_code == 405, (method, path)
        assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed, path


async def test_an_unknown_path_is_not_found(web: httpx.AsyncClient) -> None:
    """A path that is unknown, or known but for a slash at its end, is answered with 404."""
    paths = ["/token/", "/health/", "/nowhere"]

    assert [(await web.get(path)).status_code for path in paths] == [404] * 3
