"""How the token service reaches LiveKit, and its messages where that fails; real servers."""

import re
import secrets
import time
from collections.abc import Callable

import pytest
from livekit import api

from harness.clock import set_ahead
from harness.proxy import forward_proxy, saying
from harness.servers import LiveKit, free_port
from protocol import wire
from protocol.config.settings import Settings
from protocol.seal import Seal
from tests.conftest import SettingsFor
from tests.token_service.players import joined
from token_service.auth.grants import person_grant
from token_service.refusals import LiveKitAway
from token_service.rooms.livekit import LEAVES_WITHIN_S, LiveKitRooms
from token_service.rooms.livekit_client import LiveKitClient

NOWHERE = "livekit.invalid"  # RFC 6761: no resolver knows this name, so only a proxy leads there


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's proxies from the environment."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def ping(settings: Settings) -> str:
    """Ask LiveKit as `/ready` does; return why it cannot be asked, or nothing."""
    secret = settings.livekit_api_secret.get_secret_value()
    async with LiveKitClient(settings.livekit_url, settings.livekit_api_key, secret) as livekit:
        try:
            await LiveKitRooms(livekit, Seal(settings)).ping()
        except LiveKitAway as away:
            return str(away)
    return ""


async def test_livekit_on_this_machine_is_asked_past_every_proxy(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiveKit on this machine is asked without a proxy."""
    with forward_proxy(saying("403 Forbidden")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)

        assert await ping(settings_for(livekit=livekit)) == ""
    assert proxy.targets == []


async def test_livekit_elsewhere_is_asked_through_the_proxy(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiveKit on another machine is asked through the proxy, unless NO_PROXY names it."""
    elsewhere = settings_for(livekit=livekit, livekit_url=f"ws://{NOWHERE}:{livekit.port}")
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert await ping(elsewhere) == ""
        assert set(proxy.targets) == {f"{NOWHERE}:{livekit.port}"}

        proxy.targets.clear()
        monkeypatch.setenv("NO_PROXY", NOWHERE)
        assert await ping(elsewhere) == "LiveKit does not answer."
        assert proxy.targets == []


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "502 Bad Gateway"])
async def test_a_proxy_that_answers_instead_of_livekit_is_named(
    status: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's answer in place of LiveKit's is reported with the proxy's URL and status."""
    with forward_proxy(saying(status, "<html>")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        why = await ping(settings_for(livekit_url="ws://livekit.example:7880"))

    assert status[:3] in why
    assert f"the proxy {proxy.url} (HTTP_PROXY); NO_PROXY=livekit.example bypasses it." in why


async def test_a_proxy_that_is_away_is_named(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer is reported as the proxy, not as LiveKit."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    why = await ping(settings_for(livekit_url="ws://livekit.example:7880"))

    assert re.match(
        r"LiveKit does not answer: the proxy http://127\S+ \(HTTP_PROXY\) does not", why
    )


async def test_another_servers_answer_is_not_taken_for_livekits(settings_for: SettingsFor) -> None:
    """A web server's page is reported as no answer of LiveKit's."""
    with forward_proxy(saying("200 OK", "<html>")) as server:
        why = await ping(settings_for(livekit_url=server.url))

    assert why == "The answer is not LiveKit's (status 200)."


async def test_an_unknown_key_and_a_wrong_secret_have_a_message_each(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """The message says whether the key or the secret is wrong."""
    key = await ping(settings_for(livekit=livekit, livekit_api_key="rooms"))
    secret = await ping(settings_for(livekit=livekit, livekit_api_secret=secrets.token_hex(32)))

    assert key == f"LiveKit at {livekit.url} does not know the key 'rooms'."
    assert secret == f"LiveKit at {livekit.url} has another secret for the key 'devkey'."


@pytest.mark.parametrize(
    ("ahead_s", "words"), [(120, "ahead of LiveKit's"), (-7 * 3600, "behind LiveKit's")]
)
async def test_a_wrong_clock_is_reported_as_such(
    ahead_s: int,
    words: str,
    livekit: LiveKit,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message says that this machine's clock is wrong, and by how much."""
    set_ahead(monkeypatch, ahead_s)
    why = await ping(settings_for(livekit=livekit))
    told = re.match(r"This machine's clock is (\d+) s", why)

    assert told is not None and abs(int(told[1]) - abs(ahead_s)) < 60
    assert words in why


@pytest.mark.parametrize(
    ("websocket", "may_write", "calls"),
    [
        (None, False, 1),  # a browser's
        (wire.STAYS, False, 2),  # a worker's that does not leave: as here
        (wire.STAYS, True, 1),
        ("4102444800", False, 1),  # an operator's own token, with any text
        ("nan", False, 1),
    ],
)
async def test_a_participant_that_is_not_wanted_is_removed(
    livekit: LiveKit,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
    websocket: str | None,
    may_write: bool,
    calls: int,
) -> None:
    """Whatever its attribute says a participant is removed, a worker's after a moment."""
    settings, room = settings_for(livekit=livekit), f"room-{secrets.token_hex(4)}"
    grant = person_grant(room)
    grant.can_update_own_metadata = may_write
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("ann")
    token = token.with_grants(grant).with_attributes(
        {} if websocket is None else {wire.ATTR_WEBSOCKET: websocket}
    )
    secret = settings.livekit_api_secret.get_secret_value()
    async with (
        LiveKitClient(settings.livekit_url, settings.livekit_api_key, secret) as client,
        joined(livekit, token.to_jwt()),
    ):
        rooms, is_gone = LiveKitRooms(client, Seal(settings)), list[bool]()
        for _ in range(calls):
            (ann,) = await rooms.participants(room)
            is_gone.append(await rooms.remove_person(ann, room))
            monkeypatch.setattr(time, "time", later(time.time() + 2 * LEAVES_WITHIN_S))
        left = await rooms.participants(room)

    assert is_gone == [False] * (calls - 1) + [True]
    assert left == []


def later(now_s: float) -> Callable[[], float]:
    """Return a clock that stands."""
    return lambda: now_s
