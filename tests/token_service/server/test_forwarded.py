"""Behind a proxy, under a path: what it says is believed where the proxy is trusted."""

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
    """A service with a page, and a proxy at an address."""
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
async def test_a_prefix_is_taken_off_or_not(
    settings: Settings, redis: Redis, tmp_path: Path, kept: str, path: str
) -> None:
    """A proxy that takes the path off and one that leaves it there lead to the same."""
    async with behind(settings, tmp_path) as http:
        answer = await http.get(kept + path, headers={"X-Forwarded-Prefix": "/voice"})

    assert answer.status_code == 200


async def test_the_setting_says_it_where_the_proxy_does_not(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """The documentation finds its own files, and the document says where the API lies."""
    async with behind(settings.model_copy(update={"root_path": "/voice"}), tmp_path) as http:
        docs = (await http.get("/docs")).text
        document = (await http.get("/voice/openapi.json")).json()
        told = await http.get("/openapi.json", headers={"X-Forwarded-Prefix": "/a/b"})

    assert "'/voice/openapi.json'" in docs and "/voice/static-offline-docs/" in docs
    assert document["servers"] == [{"url": "/voice"}]
    assert told.json()["servers"] == [{"url": "/a/b"}]


async def test_the_path_itself_leads_to_the_page(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """Its files count from the slash at the end; what the link asks for is kept."""
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
async def test_a_prefix_that_is_not_to_be_believed_changes_nothing(
    settings: Settings, redis: Redis, tmp_path: Path, address: str, prefix: str
) -> None:
    """Not from strangers, and nothing that is no path."""
    stranger = settings.model_copy(update={"auth_mode": ("open",)})
    async with behind(stranger, tmp_path, address) as http:
        answer = await http.get("/docs", headers={"X-Forwarded-Prefix": prefix})

    assert "'/openapi.json'" in answer.text
    assert prefix not in answer.text


@pytest.mark.parametrize("path", ["voice", "/voice/", "//voice", "/a b", "https://voice"])
def test_a_root_path_is_a_path(path: str) -> None:
    """It begins with a slash and ends without one."""
    with pytest.raises(ValidationError, match="root_path"):
        GivenSettings(root_path=path)
