"""Writes the worker's heartbeat into redis and reads the specs of its rooms.

Runs on the main loop. Calls go on while redis is away: it keeps trying, and writes back the specs
of hosted rooms that redis lost meanwhile.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from protocol.config.settings import Settings
from protocol.heartbeat import (
    FAILED_TTL_S,
    HEARTBEAT_PERIOD_S,
    HEARTBEAT_TTL_S,
    WORKER_KEPT_S,
    WORKERS_KEY,
    Heartbeat,
    heartbeat_key,
)
from protocol.prompt import TOKENIZER_TTL_S, tokenizer_key
from protocol.records.parsed import Parsed
from protocol.redis.client import open_redis
from protocol.room_spec import RoomSpec, read_spec, spec_key
from worker.engine.engine import Engine
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosts
from worker.fleet.status import PublishedStatus
from worker.room.job import SESSION_ENDED

log = structlog.get_logger(__name__)

NO_PROCESS = "a process of rooms is replaced"


class HeartbeatPublisher:
    """Writes the heartbeat each `HEARTBEAT_PERIOD_S` and on request."""

    def __init__(self, settings: Settings, status: PublishedStatus, hosts: Hosts) -> None:
        self._redis = open_redis(settings.redis_url, decode_responses=True)
        self._promise_ttl_s = settings.promise_ttl_s
        self._status = status
        self._hosts = hosts
        self._engine: Engine | None = None
        self._admission: JobAdmission | None = None
        self._serves: Callable[[], bool] = lambda: True
        self._now = asyncio.Event()
        self._is_stopping = False
        self._is_away = False  # redis did not take the last heartbeat
        self._was_too_slow = False
        self._specs = Parsed(read_spec)  # of the hosted rooms

    def attach(
        self,
        engine: Engine,
        admission: JobAdmission,
        serves: Callable[[], bool] = lambda: True,
    ) -> None:
        """Include slots and step times from now on, and whether a process `serves` rooms."""
        self._engine, self._admission, self._serves = engine, admission, serves

    def now(self) -> None:
        """Write the heartbeat at once. Main loop."""
        self._now.set()

    async def run(self) -> None:
        """Write heartbeats until stopped, then delete the last one.

        A worker that failed keeps its reason there for a minute: the page shows it.
        """
        while not self._is_stopping:
            await self._beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), HEARTBEAT_PERIOD_S)
            self._now.clear()
        await self._end()

    def stop(self) -> None:
        """End `run`. By a flag: redis-py swallows a cancellation that comes while it connects."""
        self._is_stopping = True
        self._now.set()

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of this moment."""
        heartbeat, engine = self._status.heartbeat, self._engine
        measured: dict[str, Any] = {"outcomes": self._hosts.outcomes()}
        if engine is not None and self._admission is not None:
            measured |= {
                "reason": heartbeat.reason or self._slowness(engine),
                "slots_total": engine.model.step.capacity,
                "slots_used": engine.used,
                "slots_free": self._admission.free(),
                "step_p99_ms": engine.window.p99_ms(),
                "too_slow": engine.too_slow,
            }
        if heartbeat.state == "ready" and not self._serves():  # else it would seem full
            measured |= {"state": "starting", "reason": NO_PROCESS, "slots_free": 0}
        return heartbeat.model_copy(update=measured)

    def _slowness(self, engine: Engine) -> str:
        if not engine.too_slow:
            return ""
        return f"steps take {engine.window.p99_ms()} ms of 80: no new room is admitted"

    def _tell_slowness(self) -> None:
        """Log when rooms are refused because steps take too long, and when they are taken again."""
        if self._engine is None or (slow := self._engine.too_slow) == self._was_too_slow:
            return
        tell = log.warning if slow else log.info
        tell("steps_too_slow" if slow else "steps_in_time", p99_ms=self._engine.window.p99_ms())
        self._was_too_slow = slow

    async def _beat(self) -> None:
        self._tell_slowness()
        try:
            await self._keep_tokenizer()
            await self._write(self.heartbeat(), HEARTBEAT_TTL_S)
            await self._follow_specs()
        except RedisError as error:
            if not self._is_away:
                log.warning("redis_away", error=type(error).__name__)
            self._is_away = True
            return
        if self._is_away:
            log.info("redis_back")
        self._is_away = False

    async def _write(self, heartbeat: Heartbeat, life_s: float) -> None:
        """Write a heartbeat, and that this worker is one of all.

        By redis' clock: with a clock of its own that is ahead it would drop all others.
        """
        now: Any = await self._redis.time()
        now_s = now[0] + now[1] / 1e6
        async with self._redis.pipeline() as pipe:
            key = heartbeat_key(heartbeat.worker_id)
            pipe.set(key, heartbeat.model_dump_json(), px=int(life_s * 1000))
            pipe.zadd(WORKERS_KEY, {heartbeat.worker_id: now_s})
            pipe.zremrangebyscore(WORKERS_KEY, 0, now_s - WORKER_KEPT_S)
            await pipe.execute()

    async def _keep_tokenizer(self) -> None:
        """Keep the tokenizer in redis, before a heartbeat names it."""
        tokenizer, heartbeat = self._status.tokenizer, self._status.heartbeat
        if not tokenizer or not heartbeat.model_prompts:
            return
        key = tokenizer_key(heartbeat.tokenizer)
        if not await self._redis.expire(key, TOKENIZER_TTL_S):
            await self._redis.set(key, base64.b64encode(tokenizer), ex=TOKENIZER_TTL_S)

    async def _follow_specs(self) -> None:
        """Give each host its room's current spec, or tell an outdated one to leave."""
        hosting = self._hosts.all()
        if not hosting:
            return
        payloads: Any = await self._redis.mget([spec_key(each.room) for each in hosting])
        texts = {each.room: text for each, text in zip(hosting, payloads, strict=True) if text}
        specs = self._specs.of(texts)
        for each in hosting:
            spec = specs.get(each.room)
            is_lost = each.room not in texts
            if spec is not None:  # generations only grow: redis came back with older data
                is_lost = spec.newest < each.generation
            if is_lost and not each.stands_by():
                await self._restore(each.spec(), texts.get(each.room))
            elif spec is None:
                continue
            elif spec.generation > each.generation:
                each.leave("a newer generation was dispatched")
            elif spec.ended:
                each.leave(SESSION_ENDED)
            elif each.stands_by() and (not spec.standby or spec.dispatched != each.generation):
                each.leave("the move was given up")
            else:
                each.follow(spec)

    async def _restore(self, spec: RoomSpec, older: str | None) -> None:
        """Write the spec of a hosted room back into a redis that lost it, or has an `older` one."""
        key = spec_key(spec.room)

        async def write(pipe: Pipeline) -> None:
            is_unchanged = await pipe.get(key) == older
            pipe.multi()
            if is_unchanged:
                pipe.set(key, spec.model_dump_json(), ex=self._promise_ttl_s)

        await self._redis.transaction(write, key)
        log.warning("spec_restored", room=spec.room, generation=spec.generation)

    async def is_outdated(self, spec: RoomSpec) -> bool:
        """Return whether a dispatch is too late: its room has a newer one, or has ended."""
        try:
            payload: Any = await self._redis.get(spec_key(spec.room))
        except RedisError:  # a newer dispatch would be found with the next heartbeats
            return False
        latest = read_spec(payload) or spec
        if spec.standby:
            is_other = (latest.standby, latest.dispatched) != (spec.standby, spec.dispatched)
            return latest.ended or is_other
        return latest.ended or latest.generation > spec.generation

    async def _end(self) -> None:
        key = heartbeat_key(self._status.worker_id)
        try:
            if self._status.heartbeat.state == "error":
                heartbeat = self.heartbeat()  # without rooms: these need another host now
                await self._write(heartbeat.model_copy(update={"outcomes": {}}), FAILED_TTL_S)
            else:
                await self._redis.delete(key)
        except RedisError as error:
            log.warning("heartbeat_left_behind", error=type(error).__name__)
        await self._redis.aclose()
