"""docker compose on this machine, as an operator uses it: start, call, change a file, stop."""

import asyncio
import signal
import ssl
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest

from harness.person import eventually, joined
from tests.deploy.containers import PROJECT
from tests.docker import host as hosts
from tests.docker.host import Host

SERVICES = {"redis", "livekit", "token_service", "worker", "second_worker", "caddy"}
TOKEN_SERVICE_BYTES = 400 * 10**6
ENDS_WITHIN_S = 25.0  # the drain alone takes 30
SILENCE_S = 2.0  # of a voice that goes on; where the last host has left, a new one takes longer
# docs/compose.md, "Updates"
UPDATE_STEPS = ("up -d caddy", "up -d --wait worker", "up -d --wait")

pytestmark = [
    pytest.mark.skipif(bool(hosts.obstacle()), reason=hosts.obstacle() or "an engine is there"),
    pytest.mark.timeout(hosts.BUILT_WITHIN_S),
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    """Start one host for all tests, which run in their order."""
    with hosts.started(tmp_path_factory.mktemp("host")) as running:
        yield running


def test_everything_becomes_healthy_with_few_rights(host: Host) -> None:
    """Six services become healthy, read-only, without capabilities, with their own secrets."""
    found = host.containers()

    assert set(found) == SERVICES
    for name, each in found.items():
        assert each["State"]["Health"]["Status"] == "healthy", name
        assert each["HostConfig"]["ReadonlyRootfs"] is True
        assert each["HostConfig"]["CapDrop"] == ["ALL"]
        assert each["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        assert [m for m in each["Mounts"] if m["Type"] == "volume" and len(m["Name"]) == 64] == []
    told = {name: " ".join(each["Config"]["Env"] or []) for name, each in found.items()}
    assert {name for name in SERVICES if "LIVEKIT_API_SECRET" in told[name]} == {
        "token_service",
        "worker",
        "second_worker",
    }
    assert "HF_TOKEN" not in told["token_service"] + told["caddy"] + told["redis"]


def test_the_token_services_image_is_small(host: Host) -> None:
    """The token service's image is smaller than TOKEN_SERVICE_BYTES, so it has no torch."""
    assert host.image_bytes("moshi-rooms-token-service") < TOKEN_SERVICE_BYTES


@pytest.fixture
async def https(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[httpx.AsyncClient]:
    """Return a client that reaches the host by its domain and trusts Caddy's own authority."""
    root = tmp_path / "root.crt"
    host.compose("cp", "caddy:/data/caddy/pki/authorities/local/root.crt", str(root))
    monkeypatch.setenv("SSL_CERT_FILE", str(root))  # LiveKit's client reads it
    verify = ssl.create_default_context(cafile=str(root))
    headers = {"Authorization": f"Bearer {host.api_key}"}
    async with httpx.AsyncClient(
        base_url="https://localhost", verify=verify, headers=headers, trust_env=False
    ) as http:
        yield http


async def test_a_recorded_call_over_https(host: Host, https: httpx.AsyncClient) -> None:
    """A call over https reaches the worker's echo, and its recording is read and deleted."""
    asked = {"record": True, "record_consent": True}
    session = (await https.post("/sessions", json=asked)).json()
    async with joined(session["server_url"], session["participant_token"]) as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: any(ann.rms(each.identity) > 0.2 for each in ann.personas), "echo")
    await https.delete(f"/sessions/{session['id']}")

    recordings = f"/sessions/{session['id']}/recordings"
    for _ in range(hosts.HEALTHY_WITHIN_S):  # the session's host has to leave first
        if (gone := await https.delete(recordings)).status_code != httpx.codes.CONFLICT:
            break
        [part] = (await https.get(recordings)).json()
        sound = await https.get(f"{recordings}/{part['part']}.ogg")
        await asyncio.sleep(1)
    assert session["server_url"] == "wss://localhost"
    assert sound.content.startswith(b"OggS")
    assert (gone.status_code, (await https.get(recordings)).json()) == (204, [])
    assert "Traceback" not in host.compose("logs", "--no-color")


def test_the_update_line_restarts_the_changed_service_alone(host: Host) -> None:
    """A change of livekit.yaml makes a new container of LiveKit and of no other service."""
    before = {name: each["Id"] for name, each in host.containers().items()}
    path = host.folder / "livekit.yaml"
    path.write_text(path.read_text().replace("level: info", "level: debug"))
    host.update()
    after = {name: each["Id"] for name, each in host.containers().items()}

    assert {name for name in SERVICES if before[name] != after[name]} == {"livekit"}


def test_a_worker_that_has_only_begun_stops_at_once(host: Host) -> None:
    """A worker that is stopped in its first second ends by the signal, long before its grace."""
    began_s = time.monotonic()
    host.compose("up", "-d", "--no-deps", "--force-recreate", "second_worker")
    host.compose("stop", "second_worker")
    took_s = time.monotonic() - began_s
    state = host.containers()["second_worker"]["State"]
    host.update()

    assert took_s < ENDS_WITHIN_S
    assert state["ExitCode"] in (0, 128 + signal.SIGTERM)


async def test_an_update_by_steps_ends_no_call(host: Host, https: httpx.AsyncClient) -> None:
    """The documented steps renew token service and workers, and a call hears no longer pause."""
    told = (PROJECT / "docs" / "compose.md").read_text()
    assert all(f"\ndocker compose {step}" in told for step in UPDATE_STEPS)
    before = {name: each["Id"] for name, each in host.containers().items()}
    session = (await https.post("/sessions", json={})).json()
    async with joined(session["server_url"], session["participant_token"]) as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: any(ann.rms(each.identity) > 0.2 for each in ann.personas), "echo")
        since, heard = ann.timeline.now, {each.identity for each in ann.personas}
        host.set(LOG_LEVEL="debug")
        for step in UPDATE_STEPS:
            await asyncio.to_thread(host.compose, *step.split())
            heard |= {each.identity for each in ann.personas}
        silence_s = ann.timeline.longest_silence_s(heard, since)
    after = {name: each["Id"] for name, each in host.containers().items()}

    assert {name for name in SERVICES if before[name] != after[name]} == {
        "token_service",
        "worker",
        "second_worker",
    }
    assert silence_s < SILENCE_S


async def test_a_call_goes_on_when_its_worker_is_told_to_stop(
    host: Host, https: httpx.AsyncClient
) -> None:
    """When a worker is stopped, its room moves to the other one, and it exits with 0."""
    session = (await https.post("/sessions", json={})).json()
    async with joined(session["server_url"], session["participant_token"]) as ann:
        ann.tone_hz = 500.0

        def heard() -> set[str]:
            return {each.identity for each in ann.personas if ann.rms(each.identity) > 0.2}

        await eventually(lambda: bool(heard()), "echo")
        before = heard()
        hosts_it = session["room"] in host.compose("logs", "--no-color", "worker")
        name = "worker" if hosts_it else "second_worker"
        await asyncio.to_thread(host.compose, "stop", name)
        await eventually(lambda: bool(heard() - before), "the other worker's echo")
    state = host.containers()[name]["State"]

    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)
