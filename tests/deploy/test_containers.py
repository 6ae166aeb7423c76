"""A production host from its files alone: `make keys`, then what docker compose starts."""

import re
import ssl
import subprocess
import sys
from collections.abc import Generator
from importlib.metadata import packages_distributions

import httpx
import psutil
import pytest

from harness.person import eventually, joined
from tests.deploy import containers
from tests.deploy.containers import PROJECT, ROOT_PATH, Host, stage


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    """Start one host for all tests."""
    with containers.started(tmp_path_factory.mktemp("host")) as running:
        yield running


def outside(host: Host, bearer: str) -> httpx.Client:
    """Return a client with a bearer that trusts the domain's certificate."""
    return httpx.Client(
        base_url=host.https,
        verify=ssl.create_default_context(cafile=host.authority),
        headers={"Authorization": f"Bearer {bearer}"},
        trust_env=False,
        timeout=20,
    )


def test_both_containers_pass_their_health_checks(host: Host) -> None:
    """The health check of both images passes with their commands."""
    assert host.is_well("token_service") and host.is_well("worker"), host.logs()[-4000:]


def test_only_a_caller_with_a_key_gets_a_token(host: Host) -> None:
    """The key of `make keys` gets a token, a wrong one does not, and inner paths are closed."""
    with outside(host, host.api_key) as operator, outside(host, "mr_wrong") as unknown:
        assert unknown.post("/token", json={}).status_code == 401
        assert operator.post("/token", json={}).status_code == 201
        assert operator.get(f"{ROOT_PATH}/status").status_code == 200
        inner = [f"{root}/{path}" for root in ("", ROOT_PATH) for path in ("metrics", "webhook")]
        assert [operator.get(path).status_code for path in inner] == [404] * 4
        unknown_session = operator.delete("/sessions/none/people/metrics").json()["error"]
        assert unknown_session == "session_unknown"


async def test_a_call_through_the_domain(host: Host) -> None:
    """A token over https names LiveKit's wss at the same domain, and leads to a voice."""
    with outside(host, host.api_key) as operator:
        token = operator.post("/token", json={}).json()
        refused = operator.get("/rtc/validate?access_token=none")
    livekit = f"ws://127.0.0.1:{host.moved[7880]}"  # through Caddy with Chromium: test_lan.py
    async with joined(livekit, token["participant_token"]) as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: bool(ann.personas), "a persona")
        who = ann.personas[0].identity
        await eventually(lambda: ann.rms(who) > 0.2, "the echo")

    assert token["server_url"] == host.https.replace("http", "ws", 1)
    assert (refused.status_code, refused.text) == (401, "invalid authorization token")


def test_no_key_is_shown(host: Host) -> None:
    """No log, process list or answer of the page shows a secret."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    shown = host.logs() + "\n".join(" ".join(line) for line in lines)
    with outside(host, host.api_key) as operator:
        shown += operator.get("/api/config").text + operator.get("/").text

    assert host.secret not in shown
    assert host.api_key not in shown
    assert '"event": "secret_read"' in shown


def pins(name: str) -> dict[str, str]:
    """Return the packages of a lock and their versions."""
    text = (PROJECT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.M))


@pytest.mark.parametrize(
    ("lock", "modules"),
    [
        ("token-service.txt", "token_service.__main__, token_service.keys"),
        (
            "token-service.txt",
            "token_service.mcp.tools, protocol.config.otlp",
        ),  # modules that are imported when needed
        ("operator.txt", "deploy.doctor.__main__, deploy.keys"),
    ],
)
def test_small_locks_have_every_imported_package(lock: str, modules: str) -> None:
    """The token service's image and `make doctor` import nothing that their locks lack."""
    held = pins(lock)
    hidden = {
        module
        for module, owners in packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in owners} & set(held)
    } | {"livekit.rtc", "livekit.agents"}  # they are in one package with livekit.api
    program = f"import sys; sys.modules.update(dict.fromkeys({hidden})); import {modules}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert {"torch", "moshi"} <= hidden
    assert held.items() <= pins("run.txt").items()
    assert "/requirements/token-service.txt" in stage("token_service_packages")
