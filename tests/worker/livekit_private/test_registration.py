"""How a worker registers with LiveKit, and which reason it gives when it cannot."""

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import JobRequest

from harness.clock import set_ahead
from harness.person import eventually
from harness.proxy import forward_proxy, saying
from harness.servers import LiveKit, free_port
from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from worker.livekit_private.registration import Registration

VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
NOWHERE = "livekit.invalid"  # RFC 6761: no resolver knows it, so only a proxy leads there


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's proxy variables; undo what a registration does to the environment."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


class Outcome:
    """Whether a registration succeeded, and the reasons that it gave why not."""

    def __init__(self) -> None:
        self.registered = False
        self.reasons: list[str] = []


@asynccontextmanager
async def registering(settings: Settings) -> AsyncGenerator[Outcome]:
    """Run a registration; end it afterwards."""
    outcome = Outcome()

    async def never(_: JobRequest) -> None:
        """Answer no job: none comes."""

    name = f"test-{secrets.token_hex(4)}"
    server = Registration(settings, name, outcome.reasons.append, never, lambda _: pytest.fail())

    def registered(*_: Any) -> None:
        outcome.registered = True

    server.on("worker_registered", registered)
    running = asyncio.create_task(server.run())
    try:
        yield outcome
    finally:
        await server.aclose()
        await running


async def reason(settings: Settings) -> str:
    """Return the first reason why a registration fails."""
    async with registering(settings) as outcome:
        await eventually(lambda: bool(outcome.reasons) or outcome.registered, "it says why")

    assert not outcome.registered
    return outcome.reasons[0]


@pytest.mark.parametrize("level", ["debug", "warning", "error"])
async def test_a_worker_registers_at_every_log_level(
    livekit: LiveKit, settings_for: SettingsFor, level: str
) -> None:
    """`LOG_LEVEL=warning` ended the worker: livekit-agents has another name for it."""
    async with registering(settings_for(livekit=livekit, log_level=level)) as outcome:
        await eventually(lambda: outcome.registered, "it is registered")


async def test_livekit_on_this_machine_is_reached_past_every_proxy(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LiveKit at a local address is reached without the proxy, even without `NO_PROXY`."""
    with forward_proxy(saying("403 Forbidden")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with registering(settings_for(livekit=livekit)) as outcome:
            await eventually(lambda: outcome.registered, "it is registered")

    assert proxy.targets == []


async def test_livekit_elsewhere_is_reached_through_the_proxy(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LiveKit at another address is reached through the proxy of `HTTP_PROXY`."""
    url = f"ws://{NOWHERE}:{livekit.port}"
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with registering(settings_for(livekit=livekit, livekit_url=url)) as outcome:
            await eventually(lambda: outcome.registered, "it is registered")

    assert proxy.targets == [f"{NOWHERE}:{livekit.port}"]


async def test_no_proxy_in_capitals_bypasses_the_proxy(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that `NO_PROXY` names is looked for without the proxy."""
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", f"other,{NOWHERE}")
        url = f"ws://{NOWHERE}:{livekit.port}"

        assert await reason(settings_for(livekit=livekit, livekit_url=url)) == (
            f"{url}: the name cannot be resolved"
        )
    assert proxy.targets == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("200 OK", "answered 200 instead of 101 (no WebSocket)"),
        ("403 Forbidden", "answered 403 to a token of the key 'devkey'"),
        ("502 Bad Gateway", "answered 502 instead of 101 (no WebSocket)"),
    ],
)
async def test_a_proxy_that_passes_no_websocket_on_is_named(
    status: str, words: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason has the proxy's answer, its address, its variable, and how to bypass it."""
    with forward_proxy(saying(status, "<html>")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        why = await reason(settings_for(livekit_url="ws://livekit.example:7880"))

    assert why == (
        f"ws://livekit.example:7880 {words}; the connection goes through the proxy {proxy.url} "
        "(HTTP_PROXY); NO_PROXY=livekit.example bypasses it"
    )


async def test_a_proxy_that_does_not_answer_is_named(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the proxy does not answer, the reason names the proxy and not LiveKit."""
    proxy = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    why = await reason(settings_for(livekit_url="wss://livekit.example"))

    assert why.startswith(f"the proxy {proxy} (HTTPS_PROXY) does not answer: Connection refused;")


async def test_a_proxy_that_refuses_to_connect_is_named(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that refuses `CONNECT` for TLS is named with its answer."""
    with forward_proxy(saying("403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        why = await reason(settings_for(livekit_url="wss://livekit.example"))

    assert why.startswith(
        f"the proxy {proxy.url} (HTTPS_PROXY) answered 403 to CONNECT for wss://livekit.example;"
    )


async def test_a_web_server_in_place_of_livekit_is_named(settings_for: SettingsFor) -> None:
    """The reason has the answer of a server that does not speak WebSocket."""
    with forward_proxy(saying("200 OK", "hello")) as server:
        url = server.url.replace("http", "ws")

        assert await reason(settings_for(livekit_url=url)) == (
            f"{url} answered 200 instead of 101 (no WebSocket)"
        )


async def test_a_livekit_that_does_not_run_is_reported(settings_for: SettingsFor) -> None:
    """Where no server listens, the reason is that the connection was refused."""
    url = f"ws://127.0.0.1:{free_port()}"

    assert await reason(settings_for(livekit_url=url)) == (
        f"{url} does not answer: Connection refused"
    )


async def test_a_server_that_never_answers_is_reported(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is accepted and never answered fails at a deadline."""
    monkeypatch.setattr("worker.livekit_private.registration.CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"

        assert await reason(settings_for(livekit_url=url)) == f"{url} does not answer in time"


async def test_a_wrong_secret_is_reported(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """The reason names the key whose secret is another one, and shows no secret."""
    secret = secrets.token_hex(32)
    why = await reason(settings_for(livekit=livekit, livekit_api_secret=secret))

    assert why == f"LiveKit at {livekit.url} has another secret for the key 'devkey'"


async def test_an_unknown_key_is_reported(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """The reason names the key that LiveKit does not know."""
    why = await reason(settings_for(livekit=livekit, livekit_api_key="rooms"))

    assert why == f"LiveKit at {livekit.url} does not know the key 'rooms'"


async def test_a_secret_in_place_of_the_key_is_not_shown(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """A secret that was set as the key is not part of the reason."""
    secret = secrets.token_hex(32)
    why = await reason(
        settings_for(livekit=livekit, livekit_api_key=secret, livekit_api_secret=secret)
    )

    assert secret not in why
    assert "of 64 characters (not shown: it may be a secret)" in why


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [(120, r"is 1\d\d s ahead of LiveKit's"), (-7 * 3600, r"is 25\d\d\d s behind LiveKit's")],
)
async def test_a_wrong_clock_is_reported_as_such(
    ahead_s: int,
    words: str,
    livekit: LiveKit,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where LiveKit refuses tokens for the clock's sake, the reason says how wrong the clock is."""
    set_ahead(monkeypatch, ahead_s)
    why = await reason(settings_for(livekit=livekit))

    assert re.fullmatch(
        rf"this machine's clock {words} at {livekit.url}, which refuses its tokens", why
    )
