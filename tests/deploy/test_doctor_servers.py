"""Doctor: redis, LiveKit, the public URL, keys; real servers, right and wrong ones."""

import http.server
import secrets
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from deploy.certificates import Authority, make_authority, write_certificate
from deploy.doctor import servers
from deploy.doctor.finding import Finding, State
from deploy.doctor.keys import keys
from deploy.doctor.public_url import public_url
from protocol.settings import Settings
from tests.conftest import SettingsFor
from tests.servers import GivenSettings, LiveKit, free_port, start_redis

OWN = {"livekit_api_key": "rooms", "livekit_api_secret": secrets.token_hex(32)}
SAFE = OWN | {"livekit_public_url": "wss://talk.example", "auth_mode": ("open",)}


def told(finding: Finding) -> tuple[str, State]:
    """What a finding comes to."""
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
    """Something that answers every request alike, a POST after `hangs_s`; gives its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(says)))
            self.end_headers()
            self.wfile.write(says)

        def do_POST(self) -> None:
            time.sleep(hangs_s)
            with suppress(BrokenPipeError):
                self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer((host, 0), Answer)
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def test_a_redis_that_answers(redis_url: str) -> None:
    """Its version is told."""
    finding = servers.redis_server(GivenSettings(redis_url=redis_url))

    assert told(finding) == ("redis.ok", State.OK)
    assert finding.found.startswith("redis ")


def test_a_redis_that_is_away() -> None:
    """The address is told without its password."""
    url = f"redis://:hush@127.0.0.1:{free_port()}/0"
    finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.away", State.FAIL)
    assert "hush" not in finding.line()


def test_a_redis_that_wants_a_password(tmp_path: Path) -> None:
    """It answers, and refuses us."""
    with start_redis(tmp_path) as url:
        with Redis.from_url(url) as client:
            client.config_set("requirepass", "hush")
        finding = servers.redis_server(GivenSettings(redis_url=url))

    assert told(finding) == ("redis.refused", State.FAIL)


def test_a_livekit_that_knows_our_key(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """Asked for its rooms with our key."""
    assert told(servers.livekit(settings_for(livekit=livekit))) == ("livekit.ok", State.OK)


def test_a_livekit_with_another_secret(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """It answers, and does not let us in; no secret is told."""
    secret = secrets.token_hex(32)
    finding = servers.livekit(settings_for(livekit=livekit, livekit_api_secret=secret))

    assert told(finding) == ("livekit.wrong_key", State.FAIL)
    assert secret not in finding.line()


def test_a_livekit_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that greets and then says nothing more is away, as soon as patience is over."""
    monkeypatch.setattr(servers, "WITHIN_S", 0.3)
    with web(200, says=b"OK", hangs_s=3.0) as port:
        begun_s = time.monotonic()
        finding = servers.livekit(GivenSettings(livekit_url=f"ws://127.0.0.1:{port}"))
        took_s = time.monotonic() - begun_s

    assert told(finding) == ("livekit.away", State.FAIL)
    assert took_s < 3.0


def test_a_livekit_that_is_away() -> None:
    """Nobody listens."""
    settings = GivenSettings(livekit_url=f"ws://127.0.0.1:{free_port()}")

    assert told(servers.livekit(settings)) == ("livekit.away", State.FAIL)


@pytest.mark.parametrize("status", [200, 404])
def test_something_else_on_livekits_port(status: int) -> None:
    """A server that is no LiveKit is told from one."""
    with web(status) as port:
        settings = GivenSettings(livekit_url=f"ws://127.0.0.1:{port}")

        assert told(servers.livekit(settings)) == ("livekit.other", State.FAIL)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whom the machine trusts."""
    return make_authority()


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for a name that leads here and is not localhost to doctor's eyes."""
    (tmp_path / "authority.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr("deploy.doctor.public_url.is_loopback", lambda host: host is None)
    write_certificate(authority, "127.0.0.1", tmp_path / "tls.pem")
    return tmp_path / "tls.pem"


def test_a_public_url_on_this_machine() -> None:
    """Right for development."""
    assert told(public_url("ws://localhost:7880")) == ("public_url.local", State.OK)


def test_a_public_url_without_tls() -> None:
    """Browsers elsewhere give no microphone."""
    assert told(public_url("ws://192.168.1.5:7880")) == ("public_url.plain", State.WARN)


def test_a_public_url_that_is_no_name() -> None:
    """The domain leads nowhere."""
    assert told(public_url("wss://rooms.invalid")) == ("public_url.no_name", State.FAIL)


def test_a_public_url_that_answers_over_tls(certificate: Path) -> None:
    """With a certificate that this machine trusts; it says from where it looked."""
    with web(200, certificate) as port:
        finding = public_url(f"wss://localhost:{port}")

    assert told(finding) == ("public_url.ok", State.OK)
    assert "seen from this machine" in finding.found


def test_a_public_url_whose_certificate_is_for_another_name(certificate: Path) -> None:
    """Browsers would refuse it; the reason is told."""
    with web(200, certificate, "127.0.0.2") as port:
        finding = public_url(f"wss://127.0.0.2:{port}")

    assert told(finding) == ("public_url.certificate", State.FAIL)
    assert "certificate is not valid for '127.0.0.2'" in finding.found


def test_a_public_url_that_does_not_answer(certificate: Path) -> None:
    """Nobody listens, as far as this machine sees."""
    assert told(public_url(f"wss://127.0.0.1:{free_port()}")) == ("public_url.away", State.WARN)


def test_a_public_url_that_answers_with_an_error(certificate: Path) -> None:
    """Caddy is there, and what is behind it is not."""
    with web(502, certificate) as port:
        finding = public_url(f"wss://localhost:{port}")

    assert told(finding) == ("public_url.strange", State.WARN)


def looked_at(env_file: Path, **given: Any) -> list[tuple[str, State]]:
    """What is found of keys and modes."""
    settings: Settings = GivenSettings(**given)
    return [told(finding) for finding in keys(settings, env_file)]


def test_development_keys_on_this_machine(tmp_path: Path) -> None:
    """Right there, and said so."""
    assert looked_at(tmp_path / ".env") == [("keys.development", State.OK)]


def test_keys_of_ones_own(tmp_path: Path) -> None:
    """Nothing to do."""
    assert looked_at(tmp_path / ".env", production=True, **SAFE) == [("keys.own", State.OK)]


def test_each_refusal_of_production_is_told(tmp_path: Path) -> None:
    """Development key, nobody chose, no TLS: three lines."""
    assert looked_at(tmp_path / ".env", production=True) == [
        ("keys.keys", State.FAIL),
        ("keys.auth", State.FAIL),
        ("keys.tls", State.FAIL),
    ]


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    """The mode is told, and what to do."""
    (tmp_path / ".env").touch(mode=0o644)
    findings = keys(GivenSettings(**OWN), tmp_path / ".env")

    assert [told(each) for each in findings] == [
        ("keys.own", State.OK),
        ("keys.readable", State.WARN),
    ]
    assert findings[1].advice == f"chmod 600 {tmp_path}/.env"
