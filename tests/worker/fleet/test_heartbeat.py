"""A worker's heartbeat over a real redis: specs that hosts follow or redis lost, late jobs."""

import asyncio
import base64
import socket
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest
import structlog
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from harness.person import WITHIN_S, eventually
from harness.servers import free_port
from protocol.commands import Answer
from protocol.errors import InvalidInput
from protocol.heartbeat import (
    FAILED_TTL_S,
    HEARTBEAT_TTL_S,
    WORKER_KEPT_S,
    WORKERS_KEY,
    Heartbeat,
    RoomOutcome,
    heartbeat_key,
)
from protocol.personas import Persona
from protocol.prompt import TOKENIZER_TTL_S, digest_of, tokenizer_key
from protocol.room_spec import RoomSpec, persona_specs, spec_key
from tests.conftest import SettingsFor
from worker.engine.echo import echo_model
from worker.fleet.admission import JobAdmission
from worker.fleet.health import HealthEndpoint
from worker.fleet.heartbeat import NO_PROCESS, HeartbeatPublisher
from worker.fleet.hosts import OUTCOME_KEPT_S, Hosting, Hosts
from worker.fleet.status import PublishedStatus

SPEC = RoomSpec(
    room=f"room-{uuid4().hex}",
    generation=2,
    personas=persona_specs([Persona(name="chef", label="Chef")]),
)


@dataclass
class FakeHost:
    """A host that only records what it is told."""

    left: list[str] = field(default_factory=list[str])
    followed: list[RoomSpec] = field(default_factory=list[RoomSpec])
    stands_by: bool = False

    def hosting(self) -> Hosting:
        """Return the host as the heartbeat sees it."""
        return Hosting(
            room=SPEC.room,
            generation=2,
            leave=self.left.append,
            follow=self.followed.append,
            execute=lambda command, until_s: Future[Answer](),
            spec=lambda: SPEC,
            stands_by=lambda: self.stands_by,
        )


class SlowEngine:
    """An engine whose steps are too slow when a test says so."""

    too_slow = False
    model = echo_model()
    used = 1

    @property
    def window(self) -> "SlowEngine":
        """Return the window of measured steps."""
        return self

    def p99_ms(self) -> float:
        """Return a time above the 80 ms of a frame."""
        return 91.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    """Return a client of a redis without a spec of the room."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.delete(spec_key(SPEC.room))
        yield client


@pytest.fixture
async def heartbeat(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> AsyncGenerator[tuple[HeartbeatPublisher, FakeHost]]:
    """Run a heartbeat with one host; check at the end that it is deleted."""
    host, hosts, status = FakeHost(), Hosts(), PublishedStatus("echo")
    hosts.add(host.hosting())
    publisher = HeartbeatPublisher(
        settings_for(redis_url=redis_url, promise_ttl_s=600), status, hosts
    )
    task = asyncio.create_task(publisher.run())
    yield publisher, host
    publisher.stop()
    await task
    assert not await redis.exists(heartbeat_key(status.worker_id))


async def test_a_host_gets_each_change_of_its_spec(
    heartbeat: tuple[HeartbeatPublisher, FakeHost], redis: Redis
) -> None:
    """A changed spec reaches the host with the next heartbeat."""
    _, host = heartbeat
    muted = SPEC.personas[0].model_copy(update={"muted": True})
    changed = SPEC.model_copy(update={"personas": (muted,)})
    await redis.set(spec_key(SPEC.room), changed.model_dump_json())

    await eventually(lambda: changed in host.followed, "the change is followed")


async def test_a_host_gets_its_spec_with_every_heartbeat(
    heartbeat: tuple[HeartbeatPublisher, FakeHost], redis: Redis
) -> None:
    """A host gets an unchanged spec, too: a persona of it may be missing."""
    _, host = heartbeat
    await redis.set(spec_key(SPEC.room), SPEC.model_dump_json())

    await eventually(lambda: host.followed[-3:] == 3 * [SPEC], "the host gets it again and again")


@pytest.mark.parametrize("newer", [{"generation": 3}, {"ended": True}])
async def test_a_host_leaves_when_its_spec_is_newer_or_ended(
    heartbeat: tuple[HeartbeatPublisher, FakeHost], redis: Redis, newer: dict[str, Any]
) -> None:
    """A spec with a newer generation, or that has ended, makes the host leave."""
    _, host = heartbeat
    changed = SPEC.model_copy(update=newer)
    await redis.set(spec_key(SPEC.room), changed.model_dump_json())

    await eventually(lambda: bool(host.left), "the host is told to leave")


async def test_a_worker_stores_its_tokenizer_in_redis(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> None:
    """A worker that reads prompts stores its tokenizer, and again after redis lost it."""
    status = PublishedStatus("pocket")
    prompted = replace(echo_model(), prompts=True, prompt_tokens=211, tokenizer=b"a tokenizer")
    status.describe(prompted)
    publisher = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    digest = publisher.heartbeat().tokenizer
    kept: list[str] = []
    for _ in range(2):
        await redis.delete(tokenizer_key(digest))
        await publisher._beat()
        kept.append(base64.b64decode(await redis.get(tokenizer_key(digest)) or "").decode())
    left_s = await redis.ttl(tokenizer_key(digest))
    publisher.stop()
    await publisher.run()

    assert (digest, publisher.heartbeat().prompt_tokens) == (digest_of(b"a tokenizer"), 211)
    assert kept == ["a tokenizer"] * 2
    assert 0 < left_s <= TOKENIZER_TTL_S


async def test_a_spec_that_redis_lost_is_written_back(
    heartbeat: tuple[HeartbeatPublisher, FakeHost], redis: Redis
) -> None:
    """The spec that a host follows is written back to redis, with its lifetime."""
    async with asyncio.timeout(WITHIN_S):
        while (written := await redis.get(spec_key(SPEC.room))) is None:
            heartbeat[0].now()

    assert RoomSpec.from_metadata(written) == SPEC
    assert 590 < await redis.ttl(spec_key(SPEC.room)) <= 600


async def test_a_spec_that_cannot_be_read_is_skipped(
    heartbeat: tuple[HeartbeatPublisher, FakeHost], redis: Redis
) -> None:
    """A spec that cannot be read does not stop the heartbeat; a readable one is followed later."""
    _, host = heartbeat
    await redis.set(spec_key(SPEC.room), '{"room": 1}')
    host.followed.clear()
    heartbeat[0].now()
    await redis.set(spec_key(SPEC.room), SPEC.model_dump_json())

    await eventually(lambda: SPEC in host.followed, "the readable one is followed")


@pytest.mark.parametrize(
    ("latest", "outdated"),
    [({"generation": 1}, False), ({}, False), ({"generation": 3}, True), ({"ended": True}, True)],
)
async def test_a_job_of_an_older_generation_is_outdated(
    heartbeat: tuple[HeartbeatPublisher, FakeHost],
    redis: Redis,
    latest: dict[str, Any],
    outdated: bool,
) -> None:
    """A job is outdated if its room's spec has a newer generation or has ended."""
    publisher, _ = heartbeat
    stored = SPEC.model_copy(update=latest)
    await redis.set(spec_key(SPEC.room), stored.model_dump_json())

    assert await publisher.is_outdated(SPEC) is outdated


@pytest.mark.parametrize(
    ("latest", "outdated"),
    [({}, False), ({"standby": ""}, True), ({"dispatched": 4}, True), ({"ended": True}, True)],
)
async def test_a_host_stands_by_only_as_long_as_its_move_lasts(
    heartbeat: tuple[HeartbeatPublisher, FakeHost],
    redis: Redis,
    latest: dict[str, Any],
    outdated: bool,
) -> None:
    """If the move was given up, is a later one, or the room ended, job and host are outdated."""
    publisher, host = heartbeat
    moving = SPEC.model_copy(update={"generation": 1, "standby": "me", "dispatched": 2})
    host.stands_by = True
    await redis.set(spec_key(SPEC.room), moving.model_copy(update=latest).model_dump_json())

    assert await publisher.is_outdated(moving) is outdated
    await eventually(lambda: bool(host.left or host.followed), "the host leaves or follows")
    assert bool(host.left) is outdated
    assert publisher.heartbeat().outcomes[SPEC.room].outcome == "standby"


async def test_the_last_heartbeat_of_a_failed_worker_stays_for_a_while(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> None:
    """The heartbeat of a worker that failed keeps its reason up to `FAILED_TTL_S`."""
    status = PublishedStatus("nvidia/model")
    publisher = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    task = asyncio.create_task(publisher.run())
    status.change("error", "its licence is not accepted")
    publisher.stop()
    await task
    left = await redis.get(heartbeat_key(status.worker_id))

    assert Heartbeat.model_validate_json(left).reason == "its licence is not accepted"
    assert HEARTBEAT_TTL_S < await redis.ttl(heartbeat_key(status.worker_id)) <= FAILED_TTL_S
    await redis.delete(heartbeat_key(status.worker_id))


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
async def test_a_wrong_clock_hides_no_worker(
    redis: Redis,
    redis_url: str,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: float,
) -> None:
    """Workers are dropped from the list by redis' clock, whatever their own clocks say."""
    now_s = time.time()
    colleagues = {"colleague": now_s, "long gone": now_s - WORKER_KEPT_S - 60.0}
    await redis.zadd(WORKERS_KEY, colleagues)
    monkeypatch.setattr(time, "time", lambda: now_s + ahead_s)
    status = PublishedStatus("echo")
    publisher = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    await publisher._beat()
    listed = {**dict(await redis.zrange(WORKERS_KEY, 0, -1, withscores=True))}
    publisher.stop()
    await publisher.run()
    await redis.zrem(WORKERS_KEY, *colleagues)

    assert listed.keys() & {*colleagues, status.worker_id} == {"colleague", status.worker_id}
    assert listed[status.worker_id] == pytest.approx(now_s, abs=10.0)


async def test_slow_steps_are_logged_once(redis_url: str, settings_for: SettingsFor) -> None:
    """The log has one line when steps become too slow, and one when they are in time again."""
    engine = SlowEngine()
    publisher = HeartbeatPublisher(
        settings_for(redis_url=redis_url), PublishedStatus("echo"), Hosts()
    )
    publisher.attach(engine, JobAdmission(lambda: 1))  # type: ignore[arg-type]  # the part of it that is read
    with structlog.testing.capture_logs() as logs:
        for slow in (False, True, True, False):
            engine.too_slow = slow
            publisher._tell_slowness()

    assert [(each["event"], each["p99_ms"]) for each in logs] == [
        ("steps_too_slow", 91.0),
        ("steps_in_time", 91.0),
    ]


async def test_slow_steps_are_told(redis_url: str, settings_for: SettingsFor) -> None:
    """The heartbeat says that steps take too long: else its free slots would seem taken."""
    engine = SlowEngine()
    publisher = HeartbeatPublisher(
        settings_for(redis_url=redis_url), PublishedStatus("echo"), Hosts()
    )
    publisher.attach(engine, JobAdmission(lambda: 1))  # type: ignore[arg-type]  # the part of it that is read
    before = publisher.heartbeat().too_slow
    engine.too_slow = True

    assert (before, publisher.heartbeat().too_slow) == (False, True)


async def test_a_worker_that_no_process_of_rooms_serves_is_starting(
    redis_url: str, settings_for: SettingsFor
) -> None:
    """While no process of rooms runs a ready worker says that it starts: it is not full."""
    status = PublishedStatus("echo")
    status.change("ready")
    publisher = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    serves = True
    publisher.attach(SlowEngine(), JobAdmission(lambda: 1), lambda: serves)  # type: ignore[arg-type]  # the part of it that is read
    before = publisher.heartbeat()
    serves = False
    meanwhile = publisher.heartbeat()
    status.change("draining")

    assert (before.state, before.slots_free) == ("ready", 1)
    assert (meanwhile.state, meanwhile.reason) == ("starting", NO_PROCESS)
    assert (meanwhile.slots_free, publisher.heartbeat().state) == (0, "draining")


async def test_an_occupied_health_port_names_its_setting(settings_for: SettingsFor) -> None:
    """A worker whose health port is occupied fails with the setting `WORKER_PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        health = HealthEndpoint(
            HeartbeatPublisher(settings_for(), PublishedStatus("echo"), Hosts()),
            "127.0.0.1",
            port,
            REGISTRY,
        )
        with pytest.raises(InvalidInput, match=f"WORKER_PORT={port}: expected"):
            await health.start()
        await health.aclose()


async def test_without_redis_a_job_is_taken(settings_for: SettingsFor) -> None:
    """Without redis no job is outdated."""
    away = settings_for(redis_url=f"redis://127.0.0.1:{free_port()}/0")

    assert (
        await HeartbeatPublisher(away, PublishedStatus("echo"), Hosts()).is_outdated(SPEC) is False
    )


@pytest.mark.parametrize(("generation", "goes"), [(1, "new"), (3, "old")])
def test_of_two_hosts_of_a_room_the_older_generation_leaves(generation: int, goes: str) -> None:
    """Of two hosts of a room the one of the older generation leaves, whichever came first."""
    old, new, hosts = FakeHost(), FakeHost(), Hosts()
    hosts.add(old.hosting())
    hosts.add(replace(new.hosting(), generation=generation))

    assert {"old": bool(old.left), "new": bool(new.left)} == {
        "old": goes == "old",
        "new": goes == "new",
    }
    assert [each.generation for each in hosts.all()] == [max(2, generation)]


def test_outcomes_are_kept_for_a_while() -> None:
    """A room's outcome is that of its newest dispatch, for `OUTCOME_KEPT_S`."""
    now = [0.0]
    hosts = Hosts(clock=lambda: now[0])
    hosts.refuse(SPEC.model_copy(update={"room": "a", "generation": 1}))
    now[0] = OUTCOME_KEPT_S / 2
    hosts.refuse(SPEC.model_copy(update={"room": "a", "generation": 2}))
    hosts.refuse(SPEC.model_copy(update={"room": "a", "generation": 1}))
    hosts.refuse(SPEC.model_copy(update={"room": "b", "generation": 7}))
    now[0] = OUTCOME_KEPT_S + 0.1
    kept = hosts.outcomes()
    now[0] = OUTCOME_KEPT_S * 2

    assert kept == {
        "a": RoomOutcome(generation=2, outcome="refused"),
        "b": RoomOutcome(generation=7, outcome="refused"),
    }
    assert hosts.outcomes() == {}


@pytest.mark.parametrize(("refused", "outcome"), [(1, "hosted"), (2, "hosted"), (3, "refused")])
def test_the_newest_dispatch_of_a_room_counts(refused: int, outcome: str) -> None:
    """A room is reported as hosted unless a newer dispatch of it was refused."""
    hosts = Hosts()
    hosts.add(FakeHost().hosting())
    hosts.refuse(SPEC.model_copy(update={"generation": refused}))

    assert hosts.outcomes()[SPEC.room].outcome == outcome


def test_a_host_ends_with_its_outcome() -> None:
    """A host that failed is reported as failed, and is no longer among the hosts."""
    hosts, hosting = Hosts(), FakeHost().hosting()
    hosts.add(hosting)
    hosts.remove(hosting, "failed")

    assert hosts.outcomes() == {SPEC.room: RoomOutcome(generation=2, outcome="failed")}
    assert hosts.all() == []
