"""People and agents in a real room, workers as their heartbeats, and a running service."""

import asyncio
import base64
import hashlib
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from livekit import api, rtc
from redis.asyncio import Redis

from harness.servers import GivenSettings, LiveKit
from protocol import wire
from protocol.commands import Answer, Command
from protocol.config.settings import Settings
from protocol.heartbeat import WORKERS_KEY, Heartbeat, heartbeat_key
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from token_service.app import create_app
from token_service.auth.grants import person_grant
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import WorkerEntry
from token_service.rooms.store import SpecStore
from token_service.server.connection import Connection
from token_service.server.websockets import OPTIONS, WebSocketConnection
from worker.fleet.commands import CommandReceiver
from worker.fleet.hosts import Hosting, Hosts

WITHIN_S = 10.0
# The argument of `beat` that gives the rooms of an outcome, each with its generation.
OUTCOMES = {"hosted": "hosts"} | {each: each for each in ("standby", "refused", "failed", "left")}
LOST = {"outcome": "left", "lost": True}


async def eventually(looks: Callable[[], Awaitable[object]], what: str) -> None:
    """Look until what is found is true; raise TimeoutError after WITHIN_S."""
    deadline = time.monotonic() + WITHIN_S
    while not await looks():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {WITHIN_S:g} s")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    """Run the app, poll included; yield a client of it."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def beat(redis: Redis, worker_id: str = "worker", **fields: Any) -> None:
    """Write a worker's heartbeat; it is ready and has six free slots, unless `fields` differ."""
    outcomes = {
        room: {"generation": generation, "outcome": outcome}
        for outcome, given in OUTCOMES.items()
        for room, generation in fields.pop(given, {}).items()
    }
    lost = fields.pop("lost", {}).items()
    outcomes |= {room: {"generation": generation} | LOST for room, generation in lost}
    fields = {"state": "ready", "model": "pocket", "slots_free": 6} | fields
    fields = {"outcomes": outcomes} | fields
    heartbeat = Heartbeat(worker_id=worker_id, **fields)
    await redis.set(heartbeat_key(worker_id), heartbeat.model_dump_json())
    await redis.zadd(WORKERS_KEY, {worker_id: time.time()})


async def die(redis: Redis, worker_id: str = "worker") -> None:
    """Delete a worker's heartbeat."""
    await redis.delete(heartbeat_key(worker_id))


@asynccontextmanager
async def hosting(
    redis_url: str, spec: RoomSpec, obey: Callable[[Command], Future[Answer]]
) -> AsyncGenerator[None]:
    """Run a worker's real mailbox with one host, which answers commands with `obey`."""

    def pass_over(_: Any) -> None:
        """Do nothing."""

    hosts = Hosts()
    hosts.add(
        Hosting(
            room=spec.room,
            generation=spec.generation,
            leave=pass_over,
            follow=pass_over,
            execute=lambda command, until_s: obey(command),
            spec=lambda: spec,
        )
    )
    commands = CommandReceiver(redis_url, "worker", hosts)
    running = asyncio.create_task(commands.run(), name="commands")
    try:
        yield
    finally:
        commands.stop()
        await running


@asynccontextmanager
async def served(app: FastAPI, listening: socket.socket) -> AsyncGenerator[None]:
    """Serve the app with a real uvicorn, with the connection classes of the service."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, http=Connection, ws=WebSocketConnection, **OPTIONS
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]), name="uvicorn")

    async def started() -> bool:
        return server.started

    await eventually(started, "uvicorn serves")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def joined(livekit: LiveKit, token: str) -> AsyncGenerator[rtc.Room]:
    """Join the room that the token is for; leave it at the end."""
    room = rtc.Room()
    await room.connect(livekit.url, token)
    try:
        yield room
    finally:
        await room.disconnect()


@asynccontextmanager
async def asking(
    livekit: LiveKit, room: str, *metadata: str, agent: str = "moshi"
) -> AsyncGenerator[rtc.Room]:
    """Join a room with a token that asks for agents, as LiveKit's starters make it; close the room.

    LiveKit keeps a room for 20 s after the last participant left: a service of a later test would
    import its dispatches.
    """
    agents = [api.RoomAgentDispatch(agent_name=agent, metadata=each) for each in metadata]
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("ann")
    token = token.with_grants(person_grant(room))
    token = token.with_room_config(api.RoomConfiguration(agents=agents))
    async with joined(livekit, token.to_jwt()) as inside:
        yield inside
    async with livekit.client() as lkapi:
        await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))


def person_token(livekit: LiveKit, room: str, identity: str = "ann") -> str:
    """Return a person's token that the service did not make."""
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity)
    return token.with_grants(person_grant(room)).to_jwt()


def agent_token(livekit: LiveKit, room: str, identity: str, generation: int | None) -> str:
    """Return a token of our agent or, without a generation, of a foreign one."""
    attributes = {} if generation is None else {wire.ATTR_GENERATION: str(generation)}
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity)
    token = token.with_kind("agent").with_attributes(attributes)
    return token.with_grants(api.VideoGrants(room_join=True, room=room, agent=True)).to_jwt()


def persona_token(livekit: LiveKit, room: str, persona_id: str, state: str) -> str:
    """Return a token of the persona that the room's spec knows by this id."""
    attributes = {wire.ATTR_PERSONA_ID: persona_id, wire.ATTR_AGENT_STATE: state}
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_kind("agent")
    token = token.with_identity(f"agent-{persona_id}").with_attributes(attributes)
    return token.with_grants(api.VideoGrants(room_join=True, room=room, agent=True)).to_jwt()


def signature(body: bytes, livekit: LiveKit) -> str:
    """Return the `Authorization` header that LiveKit sends with a webhook's body."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(livekit.api_key, livekit.api_secret).with_sha256(digest).to_jwt()


async def identities(livekit: LiveKit, room: str) -> set[str]:
    """Return the identities of a room's participants, as LiveKit lists them."""
    async with livekit.client() as lkapi:
        found = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
    return {participant.identity for participant in found.participants}


async def are_alone(livekit: LiveKit, room: str, *names: str) -> bool:
    """Return whether a room has these participants and no others, as LiveKit lists them."""
    return await identities(livekit, room) == set(names)


def seal_of(livekit: LiveKit) -> Seal:
    """Return the seal of the services that share this LiveKit's secret."""
    return Seal(GivenSettings(livekit_api_secret=livekit.api_secret))


async def dispatched(livekit: LiveKit, room: str) -> list[RoomSpec]:
    """Return the room specs that our dispatches in an existing room carry."""
    async with livekit.client() as lkapi:
        found = await lkapi.agent_dispatch.list_dispatch(room)
    return [
        seal_of(livekit).open(dispatch.metadata, room)
        for dispatch in found
        if dispatch.agent_name.startswith(wire.agent_name(""))
    ]


async def opened(http: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """Open a session; return the answer."""
    answer = await http.post("/sessions", json=asked)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def look(http: httpx.AsyncClient, session: str) -> dict[str, Any]:
    """Return a session as `GET /sessions/{id}` shows it."""
    return (await http.get(f"/sessions/{session}")).json()


async def spec_of(redis: Redis, room: str) -> RoomSpec:
    """Return a room's spec from redis."""
    spec = await SpecStore(redis, FleetReader(redis), 600).read(room)
    assert spec is not None
    return spec


async def write(specs: SpecStore, spec: RoomSpec) -> RoomSpec:
    """Write this spec for its room, in place of any other."""
    await specs.commit(spec.room, lambda *_: (spec, None))
    return spec


async def stop_waiting(specs: SpecStore, room: str) -> None:
    """End the wait for the host of a room's latest dispatch."""
    await specs.schedule(lambda now: now.schedule.update(room, awaited_until_s=0.0))


async def dispatched_to(specs: SpecStore, spec: RoomSpec, worker: str) -> RoomSpec:
    """Write the next generation of a spec, as a dispatch to a worker does."""

    def dispatch(_: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, RoomSpec]:
        upcoming = spec.model_copy(update={"generation": spec.generation + 1, "worker": worker})
        fleet.schedule.dispatch(spec.room, upcoming.generation)
        return upcoming, upcoming

    return await specs.commit(spec.room, dispatch)


async def failures_of(redis: Redis, worker: str = "worker") -> int:
    """Return how many failures are counted of a worker."""
    schedule = (await FleetReader(redis).fleet()).schedule
    return schedule.workers.get(worker, WorkerEntry()).failures
