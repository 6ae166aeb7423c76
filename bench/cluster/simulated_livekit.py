"""A LiveKit without media: the server API that the token service calls, over dictionaries.

For more rooms than a real LiveKit holds on one machine: it answers at once, and hands jobs to
workers of this process.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiohttp import web
from livekit import api
from livekit.agents.job import JobAcceptArguments, JobRequest, RunningJobInfo
from livekit.protocol import agent, models

from bench.cluster.workers import SimulatedWorker
from harness.servers import free_port
from protocol import wire

ACTIVE = api.ParticipantInfo.State.ACTIVE


class SimulatedLiveKit:
    """The rooms and their participants."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.workers: dict[str, SimulatedWorker] = {}
        self._rooms: dict[str, list[api.ParticipantInfo]] = {}
        self._dispatches = defaultdict[str, list[api.AgentDispatch]](list)
        self._tasks = set[asyncio.Task[None]]()
        self._calls: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "RoomService/ListRooms": (api.ListRoomsRequest, self._list_rooms),
            "RoomService/ListParticipants": (api.ListParticipantsRequest, self._participants),
            "RoomService/DeleteRoom": (api.DeleteRoomRequest, self._close),
            "AgentDispatchService/ListDispatch": (api.ListAgentDispatchRequest, self._listed),
            "AgentDispatchService/CreateDispatch": (api.CreateAgentDispatchRequest, self._create),
        }

    def add(self, room: str, identity: str) -> None:
        """Let a person be in a room."""
        person = api.ParticipantInfo(sid=identity, identity=identity, state=ACTIVE)
        self._rooms.setdefault(room, []).append(person)

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[None]:
        """Answer requests meanwhile."""
        app = web.Application()
        app.router.add_post("/twirp/{call:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        asked, answer = self._calls[request.match_info["call"].removeprefix("livekit.")]
        given = answer(asked.FromString(await request.read()))
        return web.Response(body=given.SerializeToString(), content_type="application/protobuf")

    def _list_rooms(self, asked: api.ListRoomsRequest) -> api.ListRoomsResponse:
        wanted = [name for name in asked.names if name in self._rooms] or (
            [] if asked.names else self._rooms
        )
        return api.ListRoomsResponse(rooms=[models.Room(sid=name, name=name) for name in wanted])

    def _participants(self, asked: api.ListParticipantsRequest) -> api.ListParticipantsResponse:
        return api.ListParticipantsResponse(participants=self._rooms.get(asked.room, []))

    def _close(self, asked: api.DeleteRoomRequest) -> api.DeleteRoomResponse:
        self._rooms.pop(asked.room, None)
        return api.DeleteRoomResponse()

    def _listed(self, asked: api.ListAgentDispatchRequest) -> api.ListAgentDispatchResponse:
        return api.ListAgentDispatchResponse(agent_dispatches=self._dispatches[asked.room])

    def _create(self, asked: api.CreateAgentDispatchRequest) -> api.AgentDispatch:
        made = api.AgentDispatch(
            id=uuid4().hex, agent_name=asked.agent_name, room=asked.room, metadata=asked.metadata
        )
        self._dispatches[asked.room].append(made)
        worker = self.workers[asked.agent_name.removeprefix(wire.agent_name(""))]
        self._spawn(self._offer(worker, made))
        return made

    async def _offer(self, worker: SimulatedWorker, made: api.AgentDispatch) -> None:
        """Offer a job as LiveKit does; the worker accepts or refuses it by its own code."""
        job = agent.Job(
            id=made.id,
            dispatch_id=made.id,
            metadata=made.metadata,
            room=models.Room(name=made.room),
        )

        async def accept(arguments: JobAcceptArguments) -> None:
            self.add(made.room, arguments.identity)
            info = RunningJobInfo(arguments, job, self.url, "", worker.id, False)
            worker.jobs.start(info)

        async def reject(terminate: bool) -> None:
            """Do nothing: the token service reads it in the heartbeat."""

        await worker.jobs.answer(JobRequest(job=job, on_reject=reject, on_accept=accept))

    def _spawn(self, running: Any) -> None:
        task = asyncio.create_task(running)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
