"""Attacks with half requests: other clients are answered, connections end, the log stays short."""

import asyncio
import resource
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from livekit import rtc
from redis import Redis

from deploy import installers
from harness import servers
from harness.stack import environment
from protocol.heartbeat import WORKERS_KEY, Heartbeat, heartbeat_key
from tests.token_service.server.half_requests import BODY, CHUNKED, HEAD, halves, held

MANY = 1100  # more than the 1,024 descriptors of the service
ANSWERED_WITHIN_S = 60.0  # on a busy machine; without deadlines there is no answer at all
PAST_DEADLINES_S = 13.0  # the deadlines of limits.caddy
OVER_WITHIN_S = 60.0
LOG_BYTES = 50_000
NOTHING = b""
SHELL = 'ulimit -n 1024 && exec "$@"'


@dataclass(frozen=True)
class Attacked:
    """A service that has few descriptors, and the Caddy in front of it."""

    port: int
    caddy_port: int
    process: psutil.Process
    log: Path

    def held(self) -> int:
        """Return how many connections from clients the service has open."""
        found = self.process.net_connections("tcp")
        return sum(each.laddr.port == self.port and bool(each.raddr) for each in found)

    def answers(self, port: int) -> list[int]:
        """Return the statuses of a `GET /health` and a `POST /token` of another client."""
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=ANSWERED_WITHIN_S, trust_env=False) as http:
            return [http.get("/health").status_code, http.post("/token").status_code]


@pytest.fixture(scope="module")
def attacked(
    livekit: servers.LiveKit, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Attacked]:
    """Run `python -m token_service` with the Caddy of production in front of it."""
    folder = tmp_path_factory.mktemp("attacked")
    port, caddy_port = servers.free_port(), servers.free_port()
    url = redis_url.removesuffix("/0") + "/7"
    with Redis.from_url(url) as redis:
        beat = Heartbeat(worker_id="w", state="ready", model="m", slots_free=1000)
        redis.set(heartbeat_key("w"), beat.model_dump_json())
        redis.zadd(WORKERS_KEY, {"w": 1.0})
    service = ["bash", "-c", SHELL, "limited", str(installers.PROJECT / ".venv/bin/python")]
    service += ["-m", "token_service"]
    env = environment(livekit, url) | {"PORT": str(port)}
    log = folder / "token_service.log"
    caddy = [str(installers.caddy()), "run", "--adapter", "caddyfile"]
    caddy += ["--config", str(installers.PROJECT / "deploy" / "Caddyfile")]
    site = env | {"DOMAIN": f"http://127.0.0.1:{caddy_port}", "LIVEKIT_PORT": str(livekit.port)}
    site |= {"CADDY_ADMIN": f"unix/{folder}/admin"}
    site |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (
        servers.running(service, lambda: alive(port), log, env) as process,
        servers.running(caddy, lambda: alive(caddy_port), folder / "caddy.log", site),
    ):
        yield Attacked(port, caddy_port, psutil.Process(process.pid), log)


def alive(port: int) -> bool:
    """Return whether `/health` answers on a port."""
    return servers.http_answers(f"http://127.0.0.1:{port}/health")


@pytest.fixture(autouse=True)
def descriptors() -> None:
    """Raise this process's limit of descriptors to what the attack needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MANY + 1000
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


@pytest.mark.parametrize("through_caddy", [False, True], ids=["direct", "caddy"])
def test_half_requests_do_not_stop_other_requests(attacked: Attacked, through_caddy: bool) -> None:
    """During the attack whole requests are answered, and afterwards its connections are closed."""
    port = attacked.caddy_port if through_caddy else attacked.port
    logged = attacked.log.stat().st_size
    with held(port, halves(HEAD, BODY, CHUNKED, NOTHING), MANY):
        assert attacked.answers(port) == [200, 201]
        assert attacked.answers(attacked.port) == [200, 201]
        servers.wait_until(
            lambda: attacked.held() <= 10,
            "the half requests' connections are closed",
            OVER_WITHIN_S,
            every_s=0.5,  # the kernel lists all connections each time
        )

    assert attacked.answers(port) == [200, 201]
    assert attacked.log.stat().st_size - logged < LOG_BYTES
    assert "Traceback" not in attacked.log.read_text()


async def test_streams_outlive_the_deadlines_of_requests(attacked: Attacked) -> None:
    """A stream of events and a connection to LiveKit go on past Caddy's deadlines for requests."""
    url = f"http://127.0.0.1:{attacked.caddy_port}"
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as http:
        session = (await http.post("/sessions")).json()
        room = rtc.Room()
        await room.connect(url.replace("http", "ws"), session["participant_token"])
        try:
            async with http.stream("GET", f"/sessions/{session['id']}/events") as events:
                lines = events.aiter_lines()
                await anext(lines)
                await asyncio.sleep(PAST_DEADLINES_S)
                await http.post(f"/sessions/{session['id']}/mute", json={"muted": True})
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    while "muted" not in await anext(lines):
                        continue

            assert room.isconnected()
        finally:
            await room.disconnect()
