"""Behind a proxy, below a path: forwarded headers are believed where the proxy is trusted."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from harness.servers import GivenSettings
from protocol.config.settings import Settings
from token_service.app import create_app
from token_service.server.forwarded import Forwarded


@asynccontextmanager
async def behind(
    settings: Settings, tmp_path: Path, address: str = "127.0.0.1"
) -> AsyncGenerator[httpx.AsyncClient]:
    """Run a service with a page behind a proxy at an address; yield a client of it."""
    (tmp_path / "index.html").write_text("<p>the page</p>")
    app = create_app(settings.model_copy(update={"web_dir": tmp_path}))
    transport = httpx.ASGITransport(Forwarded(app, settings), client=(address, 1234))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


@pytest.mark.parametrize("kept", ["", "/voice"])
@pytest.mark.parametrize("path", ["/health", "/docs", "/"])
async def test_a_prefix_may_be_kept_or_removed(
    settings: Settings, redis: Redis, tmp_path: Path, kept: str, path: str
) -> None:
    """A path is found below the forwarded prefix, whether the proxy keeps or removes it."""
    async with behind(settings, tmp_path) as http:
        answer = await http.get(kept + path, headers={"X-Forwarded-Prefix": "/voice"})

    assert answer.status_code == 200


async def test_root_path_is_the_prefix_unless_the_proxy_names_one(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """ROOT_PATH is the prefix of links and of the document, unless the proxy names one."""
    async with behind(settings.model_copy(update={"root_path": "/voice"}), tmp_path) as http:
        docs = (await http.get("/docs")).text
        document = (await http.get("/voice/openapi.json")).json()
        told = await http.get("/openapi.json", headers={"X-Forwarded-Prefix": "/a/b"})

    assert "'/voice/openapi.json'" in docs and "/voice/static-offline-docs/" in docs
    assert document["servers"] == [{"url": "/voice"}]
    assert told.json()["servers"] == [{"url": "/a/b"}]


async def test_the_root_path_redirects_to_the_page(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """The root path without a slash at its end redirects to the one with it and keeps the query."""
    async with behind(settings.model_copy(update={"root_path": "/voice"}), tmp_path) as http:
        answer = await http.get("/voice?room=kitchen")

    assert (answer.status_code, answer.headers["location"]) == (307, "/voice/?room=kitchen")


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.7", "/voice"),
        ("127.0.0.1", "//evil.example"),
        ("127.0.0.1", "https://evil.example"),
        ("127.0.0.1", "/a'><script>"),
        ("127.0.0.1", "/a" * 101),
    ],
)
async def test_an_untrusted_or_invalid_prefix_is_ignored(
    settings: Settings, redis: Redis, tmp_path: Path, address: str, prefix: str
) -> None:
    """A prefix from an untrusted address, or one that is no path, changes nothing."""
    open_settings = settings.model_copy(update={"auth_mode": ("open",)})
    async with behind(open_settings, tmp_path, address) as http:
        answer = await http.get("/docs", headers={"X-Forwarded-Prefix": prefix})

    assert "'/openapi.json'" in answer.text
    assert prefix not in answer.text


@pytest.mark.parametrize("path", ["voice", "/voice/", "//voice", "/a b", "https://voice"])
def test_a_root_path_begins_with_a_slash_and_ends_without(path: str) -> None:
    """ROOT_PATH has to begin with a slash and to end without one."""
    with pytest.raises(ValidationError, match="root_path"):
        GivenSettings(root_path=path)
