"""One cluster for one row of the table: starts it, opens rooms in it, and stops it."""

import asyncio
import base64
import hashlib
import json
import os
import time
from argparse import Namespace
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis.asyncio
from aiohttp import ClientError, ClientSession, TCPConnector
from livekit import api
from pydantic import SecretStr

from bench.cluster.figures import Meters, Span, quantile_ms
from bench.cluster.participants import Participants
from bench.cluster.simulated_livekit import SimulatedLiveKit
from bench.cluster.workers import SimulatedWorker
from harness import servers, stack
from protocol.config.settings import DEVELOPMENT_SECRET
from protocol.heartbeat import Heartbeat
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, fresh_id, persona_specs, spec_key
from worker.room.job import RoomJob

KEY = "devkey"
HOSTED_WITHIN_S = 20.0  # a room without a host after this long counts as failed
READY_WITHIN_S = 120.0
READY_ASKED = 10  # requests of /ready
CHEF = persona_specs((Persona(name="chef", label="Chef"),))
# As long as the pocket Moshi's, the longest of all: it names the lines that it can say.
VOICES = tuple(f"VOICE{number}" for number in range(5))
LINES = {
    voice: tuple(f"Line {n} of a voice, as long as usual." for n in range(18)) for voice in VOICES
}
SHOWN = Heartbeat(worker_id="-", state="connecting", model="pocket", voices=VOICES, lines=LINES)


class Cluster:
    """A token service, its redis, a LiveKit, the workers, and the clients that open rooms."""

    def __init__(self, asked: Namespace, workers: int, standing: int | None) -> None:
        """Make one with a real LiveKit or, with `standing` rooms at first, a simulated one."""
        self._asked, self._count, self._standing = asked, workers, standing or 0
        self._simulated = None if standing is None else SimulatedLiveKit()
        self._workers: list[SimulatedWorker] = []
        self._hosted: dict[str, asyncio.Future[float]] = {}
        self._token_s: list[float] = []
        self._host_s: list[float] = []
        self._failed: list[str] = []
        self._replaced = 0
        self._url = f"http://127.0.0.1:{servers.free_port()}"

    async def measure(self) -> dict[str, Any]:
        """Start all, observe, open rooms, observe again; return the row."""
        async with AsyncExitStack() as running:
            meters = await self._start(running)
            before = await self._observe(meters)
            begun = meters.read()
            await self._open_rooms()
            opening = Span(begun, meters.read())
            steady = await self._observe(meters)
            ready_s = [await self._ask_ready() for _ in range(READY_ASKED)]
            return self._row(before, opening, steady, ready_s) | {"MiB": meters.rss_mib()}

    def _row(
        self, before: Span, opening: Span, steady: Span, ready_s: list[float]
    ) -> dict[str, Any]:
        opened, service = len(self._host_s), "token service"
        return {
            "LiveKit": "real" if self._simulated is None else "simulated",
            "workers": self._count,
            "rooms before": self._standing,
            "opened": opened,
            "failed": len(self._failed),
            "hosts replaced": self._replaced,
            "rooms/s": round(opened / opening.seconds, 1),
            "token p50 ms": quantile_ms(self._token_s, 50),
            "join to host p50 ms": quantile_ms(self._host_s, 50),
            "p99 ms": quantile_ms(self._host_s, 99),
            "ready p50 ms": quantile_ms(ready_s, 50),
            "service CPU ms a room": round(opening.cpu_ms(service, opened), 1),
            "redis commands a room": round(opening.commands_beyond(before, opened)),
            "service % of a core, idle": round(steady.cpu_share[service] * 100, 1),
            "redis commands/s, idle": round(sum(steady.commands.values()) / steady.seconds),
            "before": before.shown(),
            "opening": opening.shown(),
            "after": steady.shown(),
            "failures": self._failed[:3],
        }

    async def _start(self, running: AsyncExitStack) -> Meters:
        folder = Path(running.enter_context(TemporaryDirectory()))
        redis_url = running.enter_context(servers.start_redis(folder))
        connector = TCPConnector(limit=0)
        self._http = await running.enter_async_context(ClientSession(connector=connector))
        self._people = await running.enter_async_context(Participants())
        pids = {"bench": os.getpid()}
        if self._simulated is None:
            livekit = servers.start_livekit(folder, webhook_url=f"{self._url}/webhook")
            real = running.enter_context(livekit)
            livekit_url, pids["LiveKit"] = real.url, real.pid
        else:
            await running.enter_async_context(self._simulated.served())
            livekit_url = self._simulated.url
        await self._start_workers(running, livekit_url, redis_url)
        service = self._service(folder, livekit_url, redis_url)
        pids["token service"] = await asyncio.to_thread(running.enter_context, service)
        async with asyncio.timeout(READY_WITHIN_S):
            await asyncio.gather(*(each.ready.wait() for each in self._workers))
            await self._ask_ready(until=True)
        return Meters(redis_url, pids)

    async def _start_workers(
        self, running: AsyncExitStack, livekit_url: str, redis_url: str
    ) -> None:
        settings = servers.GivenSettings(
            livekit_url=livekit_url,
            livekit_api_key=KEY,
            livekit_api_secret=SecretStr(DEVELOPMENT_SECRET),
            redis_url=redis_url,
        )
        slots = max(2 * (self._standing + self._asked.rooms) // self._count, 2)
        self._workers = [
            SimulatedWorker(settings, slots, self._enter, SHOWN) for _ in range(self._count)
        ]
        simulated = self._simulated
        if simulated is not None:
            simulated.workers = {each.id: each for each in self._workers}
            await self._stand(simulated, redis_url)
        tasks = [asyncio.create_task(each.run(simulated is None)) for each in self._workers]
        running.push_async_callback(self._stop_workers, tasks)

    async def _stop_workers(self, tasks: list[asyncio.Task[None]]) -> None:
        for each in self._workers:
            each.publisher.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stand(self, livekit: SimulatedLiveKit, redis_url: str) -> None:
        """Let rooms be hosted before anything is measured."""
        async with (
            redis.asyncio.Redis.from_url(redis_url) as client,
            client.pipeline(transaction=False) as pipe,
        ):
            for number in range(self._standing):
                worker = self._workers[number % self._count]
                room, at_s = f"before-{number}", time.time()
                spec = RoomSpec(
                    room=room,
                    generation=1,
                    personas=CHEF,
                    session=fresh_id(),
                    opened_s=at_s,
                    worker=worker.id,
                )
                livekit.add(room, "ann")
                worker.host(spec)
                pipe.set(spec_key(room), spec.model_dump_json(), ex=3600)
            await pipe.execute()

    def _service(self, folder: Path, livekit_url: str, redis_url: str) -> Any:
        env = {
            "LIVEKIT_URL": livekit_url,
            "LIVEKIT_PUBLIC_URL": livekit_url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": DEVELOPMENT_SECRET,
            "REDIS_URL": redis_url,
            "HOST": "127.0.0.1",
            "PORT": self._url.rpartition(":")[2],
            "MODEL": "echo",
            "LOG_FORMAT": "json",
        }
        health, log = f"{self._url}/health", folder / "token_service.log"
        return stack.module("token_service", lambda: servers.http_answers(health), log, env)

    async def _enter(self, job: RoomJob) -> None:
        """Join a room as its host."""
        if self._simulated is None:
            await self._people.enter(job.url, job.token)
        hosted = self._hosted.get(job.spec.room)
        if hosted is None or hosted.done():
            self._replaced += 1
        else:
            hosted.set_result(time.monotonic())

    async def _open_rooms(self) -> None:
        rooms = iter([f"room-{number}" for number in range(self._asked.rooms)])
        until_s = time.monotonic() + self._asked.opening_s

        async def open_some() -> None:
            for room in rooms:
                if time.monotonic() > until_s:
                    return
                try:
                    await self._open(room)
                except (TimeoutError, ClientError, ConnectionError) as error:
                    self._failed.append(f"{type(error).__name__} {error}")

        await asyncio.gather(*(open_some() for _ in range(self._asked.clients)))

    async def _open(self, room: str) -> None:
        self._hosted[room] = asyncio.get_running_loop().create_future()
        begun_s = time.monotonic()
        async with self._http.post(f"{self._url}/token", json={"room_name": room}) as answer:
            if not answer.ok:
                raise ConnectionError(f"{answer.status}: {await answer.text()}")
            given = await answer.json()
        self._token_s.append(time.monotonic() - begun_s)
        if self._simulated is None:
            await self._people.enter(given["server_url"], given["participant_token"])
        else:
            self._simulated.add(room, "ann")
        joined_s = time.monotonic()
        await self._tell_join(room)
        async with asyncio.timeout(HOSTED_WITHIN_S):
            self._host_s.append(await self._hosted[room] - joined_s)

    async def _tell_join(self, room: str) -> None:
        """Send the webhook that LiveKit sends once a participant's media is connected."""
        person = {"identity": "ann", "state": "ACTIVE"}
        event = {"event": "participant_joined", "room": {"name": room}, "participant": person}
        body = json.dumps(event).encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = api.AccessToken(KEY, DEVELOPMENT_SECRET).with_sha256(digest).to_jwt()
        headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
        async with self._http.post(f"{self._url}/webhook", data=body, headers=headers) as answer:
            answer.raise_for_status()

    async def _observe(self, meters: Meters) -> Span:
        before = meters.read()
        await asyncio.sleep(self._asked.seconds)
        return Span(before, meters.read())

    async def _ask_ready(self, *, until: bool = False) -> float:
        """Return how long /ready took; with `until`, ask until it answers with success."""
        while True:
            begun_s = time.monotonic()
            with suppress(ClientError):
                async with self._http.get(f"{self._url}/ready") as answer:
                    if answer.ok or not until:
                        return time.monotonic() - begun_s
            await asyncio.sleep(0.1)
