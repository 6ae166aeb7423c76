"""Doctor: redis, LiveKit, the public URL, keys; real servers, right and wrong ones."""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import api
from redis import Redis

from deploy.doctor import servers, upgrade
from deploy.doctor.finding import Finding, State
from deploy.doctor.keys import keys
from deploy.doctor.proxies import proxies
from deploy.doctor.public_url import public_url
from deploy.lan.authority import Authority, make_authority
from harness.certificate import write_certificate
from harness.clock import set_ahead
from harness.http_server import QuietHandler, serving
from harness.proxy import forward_proxy, saying
from harness.servers import GivenSettings, LiveKit, free_port, start_redis
from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from tests.token_service.players import eventually

OWN = {"livekit_api_key": "rooms", "livekit_api_secret": secrets.token_hex(32)}
SAFE = OWN | {"livekit_public_url": "wss://talk.example", "auth_mode": ("open",)}


def told(finding: Finding) -> tuple[str, State]:
    """Return a finding's code and state."""
    return finding.code, finding.state


@contextmanager
def web(
    status: int,
    certificate: Path | None = None,
    host: str = "127.0.0.1",
    *,
    says: bytes = b"",
    hangs_s: float = 0.0,
) -> Generator[int]:
    """Answer every request alike, but for `/` after `hangs_s`; yield the port."""

    class Answer(QuietHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                time.sleep(hangs_s)
            with suppress(BrokenPipeError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(says)))
                self.end_headers()
                self.wfile.write(says)

    with serving(Answer, host, certificate=certificate) as port:
        yield port


def test_a_redis_that_answers_is_ok(redis_url: str) -> None:
    """A redis that answers is OK, with its version."""
    finding = servers.redis_server(GivenSettings(redis_url=redis_url))

    assert told(finding) == ("redis.ok", State.OK)
    assert finding.found.startswith(("redis ", "valkey "))


@pytest.mark.parametrize(
    ("server", "code", "named"),
    [
        ({"redis_version": "6.2.14"}, "redis.faults", "CVE-2024-31449"),
        ({"redis_version": "8.6.3"}, "redis.ok", "redis 8.6.3"),
        (
            {"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "8.1.3"},
            "redis.faults",
            "CVE-2025-49844",
        ),
    ],
)
def test_a_redis_with_known_faults_is_a_warning(
    server: dict[str, str], code: str, named: str
) -> None:
    """A redis or valkey with known faults is a warning that names them."""
    finding = servers.of_version(server, "redis://there")

    assert finding.code == code
    assert named in finding.found


def test_a_cluster_is_a_failure() -> None:
    """A redis cluster is a failure: it refuses a change of a room with its schedule."""
    server = {"redis_version": "8.0.0", "redis_mode": "cluster"}

    assert told(servers.of_version(server, "redis://there")) == ("redis.cluster", State.FAIL)


def test_a_replica_is_a_failure(tmp_path: Path) -> None:
    """A redis that takes no writes is a failure with the reason."""
    with start_redis(tmp_path) as url:
        with Redis.from_url(url) as client:
            client.replicaof("127.0.0.1", "1")
        finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.read_only", State.FAIL)


def test_a_redis_that_is_away_is_a_failure() -> None:
    """A redis that does not answer is a failure, and its password is not shown."""
    url = f"redis://:hush@127.0.0.1:{free_port()}/0"
    finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.away", State.FAIL)
    assert "hush" not in finding.line()


def test_a_redis_that_evicts_keys_is_a_failure(tmp_path: Path) -> None:
    """A redis that evicts keys is a failure with its policy and the right one."""
    with start_redis(tmp_path) as url:
        with Redis.from_url(url) as client:
            client.config_set("maxmemory", "64mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.forgets", State.FAIL)
    assert "maxmemory-policy allkeys-lru" in finding.found and "noeviction" in finding.advice


def test_a_redis_that_wants_a_password_is_a_failure(tmp_path: Path) -> None:
    """A redis that refuses us for want of a password is a failure."""
    with start_redis(tmp_path) as url:
        with Redis.from_url(url) as client:
            client.config_set("requirepass", "hush")
        finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.refused", State.FAIL)


def test_a_livekit_that_knows_our_key_is_ok(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """A LiveKit that knows our key is OK."""
    assert told(servers.livekit(settings_for(livekit=livekit))) == ("livekit.ok", State.OK)


def test_a_livekit_with_another_secret_is_a_failure(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """A LiveKit with another secret is a failure, and the secret is not shown."""
    secret = secrets.token_hex(32)
    finding = servers.livekit(settings_for(livekit=livekit, livekit_api_secret=secret))

    assert told(finding) == ("livekit.wrong_key", State.FAIL)
    assert secret not in finding.line()


def test_a_livekit_that_does_not_know_the_key_is_a_failure(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """A LiveKit that does not know the key is a failure that names the key, but no secret."""
    named = servers.livekit(settings_for(livekit=livekit, livekit_api_key="rooms"))
    secret = secrets.token_hex(32)
    swapped = servers.livekit(settings_for(livekit=livekit, livekit_api_key=secret))

    assert told(named) == told(swapped) == ("livekit.wrong_key", State.FAIL)
    assert "does not know the key 'rooms'" in named.found
    assert secret not in swapped.line()


def test_a_clock_two_minutes_ahead_is_a_failure(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock two minutes ahead of LiveKit's is a failure."""
    set_ahead(monkeypatch, 120)
    finding = servers.livekit(settings_for(livekit=livekit))

    assert told(finding) == ("livekit.clock", State.FAIL)
    assert "this machine's clock is 1" in finding.found


def test_a_clock_half_a_minute_ahead_is_a_warning(
    livekit: LiveKit, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock half a minute ahead of LiveKit's is a warning."""
    ahead = SimpleNamespace(time=lambda: time.time() + 30)
    monkeypatch.setattr(servers, "time", ahead)

    assert told(servers.livekit(settings_for(livekit=livekit))) == (
        "livekit.clock_differs",
        State.WARN,
    )


def test_a_livekit_behind_a_server_without_websockets_is_a_failure() -> None:
    """A server in front of LiveKit that passes no WebSocket is a failure with its status."""
    with web(200, says=b"OK") as port:
        finding = servers.livekit(GivenSettings(livekit_url=f"ws://127.0.0.1:{port}"))

    assert told(finding) == ("livekit.no_upgrade", State.FAIL)
    assert "answered 200 instead of 101" in finding.found


def test_a_livekit_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiveKit that answers one request and then hangs counts as away after the time limit."""
    monkeypatch.setattr(upgrade, "WITHIN_S", 0.3)
    with web(200, says=b"OK", hangs_s=3.0) as port:
        begun_s = time.monotonic()
        finding = servers.livekit(GivenSettings(livekit_url=f"ws://127.0.0.1:{port}"))
        took_s = time.monotonic() - begun_s

    assert told(finding) == ("livekit.away", State.FAIL)
    assert took_s < 3.0


def test_a_livekit_that_is_away_is_a_failure() -> None:
    """A LiveKit that does not answer is a failure."""
    settings = GivenSettings(livekit_url=f"ws://127.0.0.1:{free_port()}")

    assert told(servers.livekit(settings)) == ("livekit.away", State.FAIL)


@pytest.mark.parametrize("status", [200, 404])
def test_another_server_on_livekits_port_is_a_failure(status: int) -> None:
    """A server that is not LiveKit is a failure of its own."""
    with web(status) as port:
        settings = GivenSettings(livekit_url=f"ws://127.0.0.1:{port}")

        assert told(servers.livekit(settings)) == ("livekit.other", State.FAIL)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Make the authority that the machine trusts."""
    return make_authority()


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a certificate for localhost, which the doctor takes for a name elsewhere here."""
    (tmp_path / "authority.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr("deploy.doctor.public_url.is_loopback", lambda host: host is None)
    write_certificate(authority, "localhost", tmp_path / "tls.pem")
    return tmp_path / "tls.pem"


def test_a_public_url_on_this_machine_is_ok() -> None:
    """A public URL of this machine is OK."""
    assert told(public_url("ws://localhost:7880")) == ("public_url.local", State.OK)


def test_a_public_url_without_tls_is_a_warning() -> None:
    """A public URL without TLS is a warning."""
    assert told(public_url("ws://192.168.1.5:7880")) == ("public_url.plain", State.WARN)


def test_a_public_url_of_an_unknown_name_is_a_failure() -> None:
    """A public URL whose name does not resolve is a failure."""
    assert told(public_url("wss://rooms.invalid")) == ("public_url.no_name", State.FAIL)


def test_a_public_url_that_answers_over_tls_is_ok(certificate: Path) -> None:
    """A public URL that answers over TLS is OK, as seen from this machine."""
    with web(200, certificate) as port:
        finding = public_url(f"wss://localhost:{port}")

    assert told(finding) == ("public_url.ok", State.OK)
    assert "seen from this machine" in finding.found


def test_a_certificate_for_another_name_is_a_failure(certificate: Path) -> None:
    """A certificate for another name is a failure with the reason."""
    with web(200, certificate, "127.0.0.2") as port:
        finding = public_url(f"wss://127.0.0.2:{port}")

    assert told(finding) == ("public_url.certificate", State.FAIL)
    assert "certificate is not valid for '127.0.0.2'" in finding.found


def test_a_public_url_that_does_not_answer_is_a_warning(certificate: Path) -> None:
    """A public URL that does not answer is a warning."""
    assert told(public_url(f"wss://127.0.0.1:{free_port()}")) == ("public_url.away", State.WARN)


def test_a_public_url_that_answers_with_an_error_is_a_warning(certificate: Path) -> None:
    """A public URL that answers with an error is a warning."""
    with web(502, certificate) as port:
        finding = public_url(f"wss://localhost:{port}")

    assert told(finding) == ("public_url.strange", State.WARN)


async def test_a_public_url_is_joined_as_a_browser_does(
    livekit: LiveKit, certificate: Path
) -> None:
    """The public URL is joined over TLS at the real LiveKit, and the room is gone soon after."""
    keys_of = (livekit.api_key, livekit.api_secret)
    async with tls_front(certificate, livekit.port) as port:
        finding = await asyncio.to_thread(public_url, f"wss://localhost:{port}", keys_of)

    assert told(finding) == ("public_url.ok", State.OK)
    async with livekit.client() as client:
        asked = partial(client.room.list_rooms, api.ListRoomsRequest())

        async def gone() -> bool:
            names = [room.name for room in (await asked()).rooms]
            return not any(name.startswith("moshi-rooms-doctor") for name in names)

        await eventually(gone, "the room ends by itself")


@asynccontextmanager
async def tls_front(certificate: Path, to: int) -> AsyncGenerator[int]:
    """Accept TLS and pass the bytes on, as Caddy does; yield the port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    passing: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                to.write(data)
                await to.drain()

    async def serve(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, forth = await asyncio.open_connection("127.0.0.1", to)
        ways = {asyncio.create_task(copy(here, forth)), asyncio.create_task(copy(there, back))}
        passing.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for writer in (forth, back):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*passing, return_exceptions=True), 20)


def test_a_public_url_without_websockets_is_a_failure(certificate: Path) -> None:
    """A server at the public URL that passes no WebSocket is a failure."""
    with web(200, certificate) as port:
        finding = public_url(f"wss://localhost:{port}", ("rooms", "s" * 32))

    assert told(finding) == ("public_url.no_upgrade", State.FAIL)
    assert "instead of 101" in finding.found


def test_a_public_url_on_this_machine_is_joined_where_livekit_runs(livekit: LiveKit) -> None:
    """A public URL of this machine is joined with our key, if LiveKit runs."""
    good, wrong = (livekit.api_key, livekit.api_secret), (livekit.api_key, secrets.token_hex(32))

    assert told(public_url(livekit.url, good)) == ("public_url.local", State.OK)
    assert told(public_url(livekit.url, wrong)) == ("public_url.refused", State.FAIL)
    assert told(public_url(livekit.url, wrong, runs=False)) == ("public_url.local", State.OK)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's proxies from the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy on the way to LiveKit is a warning, and is named in LiveKit's own finding."""
    settings = GivenSettings(livekit_url="ws://livekit.example:7880")
    assert proxies(settings) == []
    with forward_proxy(saying("200 OK", "<html>")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        [named], asked = proxies(settings), servers.livekit(settings)
        monkeypatch.setenv("NO_PROXY", "livekit.example")
        [past] = proxies(settings)

    assert told(named) == ("proxy.in_between", State.WARN)
    assert f"leads through the proxy {proxy.url} (HTTP_PROXY)" in named.found
    assert told(asked) == ("livekit.other", State.FAIL)
    assert f"the proxy {proxy.url} (HTTP_PROXY); NO_PROXY=" in asked.found
    assert told(past) == ("proxy.past", State.OK)


@pytest.mark.usefixtures("no_proxies")
def test_a_socks_proxy_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is a failure."""
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1080")
    settings = GivenSettings(livekit_url="ws://livekit.example:7880")

    assert [told(each) for each in proxies(settings)] == [("proxy.unusable", State.FAIL)]
    assert told(servers.livekit(settings)) == ("livekit.away", State.FAIL)


def findings_of(env_file: Path, **given: Any) -> list[tuple[str, State]]:
    """Return code and state of the findings about keys and modes."""
    settings: Settings = GivenSettings(**given)
    return [told(finding) for finding in keys(settings, env_file)]


def test_development_keys_on_this_machine_are_ok(tmp_path: Path) -> None:
    """Development keys on this machine are OK."""
    assert findings_of(tmp_path / ".env") == [("keys.development", State.OK)]


def test_own_keys_are_ok_in_production(tmp_path: Path) -> None:
    """An operator's own keys are OK in production."""
    assert findings_of(tmp_path / ".env", production=True, **SAFE) == [("keys.own", State.OK)]


def test_each_refusal_of_production_is_told(tmp_path: Path) -> None:
    """Each refusal of production is a finding: key, AUTH_MODE and TLS."""
    assert findings_of(tmp_path / ".env", production=True) == [
        ("keys.keys", State.FAIL),
        ("keys.auth", State.FAIL),
        ("keys.tls", State.FAIL),
    ]


def test_a_trusted_network_beside_loopback_is_a_failure(tmp_path: Path) -> None:
    """Trusting a network's proxies in loopback mode is a failure."""
    found = findings_of(tmp_path / ".env", trusted_proxies="10.0.0.0/8")
    assert found == [("keys.proxies", State.FAIL)]


def test_an_env_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """An `.env` that others can read is a warning with the command that changes its mode."""
    (tmp_path / ".env").touch(mode=0o644)
    findings = keys(GivenSettings(**OWN), tmp_path / ".env")

    assert [told(each) for each in findings] == [
        ("keys.own", State.OK),
        ("keys.readable", State.WARN),
    ]
    assert findings[1].advice == f"chmod 600 {tmp_path}/.env"
