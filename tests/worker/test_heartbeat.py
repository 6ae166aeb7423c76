"""The pulse over a real redis: what a host follows, what redis lost, which job comes too late."""

import asyncio
import base64
import socket
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest
import structlog
from redis.asyncio import Redis

from harness.person import WITHIN_S, eventually
from harness.servers import free_port
from protocol.commands import Answer
from protocol.errors import InvalidInput
from protocol.heartbeat import (
    HEARTBEAT_TTL_S,
    LAST_WORDS_TTL_S,
    Heartbeat,
    RoomOutcome,
    heartbeat_key,
)
from protocol.personas import Persona
from protocol.prompt import TOKENIZER_TTL_S, digest_of, tokenizer_key
from protocol.room_spec import RoomSpec, persona_specs, spec_key
from tests.conftest import SettingsFor
from worker.admission import JobAdmission
from worker.engine.echo import echo_model
from worker.health import HealthEndpoint
from worker.heartbeat import HeartbeatPublisher
from worker.hosts import OUTCOME_KEPT_S, Hosting, Hosts
from worker.status import PublishedStatus

PROMISE = RoomSpec(
    room=f"room-{uuid4().hex}",
    generation=2,
    personas=persona_specs([Persona(name="chef", label="Chef")]),
)


@dataclass
class Told:
    """A host that does nothing but remember."""

    left: list[str] = field(default_factory=list[str])
    followed: list[RoomSpec] = field(default_factory=list[RoomSpec])
    stands_by: bool = False

    def hosting(self) -> Hosting:
        """As the pulse sees it."""
        return Hosting(
            room=PROMISE.room,
            generation=2,
            leave=self.left.append,
            follow=self.followed.append,
            obey=lambda command: Future[Answer](),
            spec=lambda: PROMISE,
            stands_by=lambda: self.stands_by,
        )


class Sluggish:
    """An engine whose steps take as long as a test says."""

    too_slow = False

    @property
    def window(self) -> "Sluggish":
        """Its own window."""
        return self

    def p99_ms(self) -> float:
        """Over the 80 ms."""
        return 91.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    """A client, in whose redis the room was promised nothing yet."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.delete(spec_key(PROMISE.room))
        yield client


@pytest.fixture
async def pulse(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> AsyncGenerator[tuple[HeartbeatPublisher, Told]]:
    """A pulse that beats for one host."""
    told, hosts, status = Told(), Hosts(), PublishedStatus("echo")
    hosts.add(told.hosting())
    beating = HeartbeatPublisher(
        settings_for(redis_url=redis_url, promise_ttl_s=600), status, hosts
    )
    task = asyncio.create_task(beating.run())
    yield beating, told
    beating.stop()
    await task
    assert not await redis.exists(heartbeat_key(status.worker_id))


async def test_a_host_follows_what_is_promised(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis
) -> None:
    """Each change reaches the host with the next beat."""
    _, told = pulse
    muted = PROMISE.personas[0].model_copy(update={"muted": True})
    changed = PROMISE.model_copy(update={"personas": (muted,)})
    await redis.set(spec_key(PROMISE.room), changed.model_dump_json())

    await eventually(lambda: changed in told.followed, "the change is followed")


async def test_a_host_is_told_with_every_beat(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis
) -> None:
    """A host hears of a spec that has not changed, too: a persona of it may be missing."""
    _, told = pulse
    await redis.set(spec_key(PROMISE.room), PROMISE.model_dump_json())

    await eventually(lambda: told.followed[-3:] == 3 * [PROMISE], "it is told again and again")


@pytest.mark.parametrize("newer", [{"generation": 3}, {"ended": True}])
async def test_an_outdated_host_leaves(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis, newer: dict[str, Any]
) -> None:
    """A newer generation, or the end, is a reason to go."""
    _, told = pulse
    changed = PROMISE.model_copy(update=newer)
    await redis.set(spec_key(PROMISE.room), changed.model_dump_json())

    await eventually(lambda: bool(told.left), "the host is told to leave")


async def test_what_counts_prompts_is_in_redis(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> None:
    """A worker that follows prompts leaves its tokenizer, again where redis lost it."""
    status = PublishedStatus("pocket")
    prompted = replace(echo_model(), prompts=True, prompt_tokens=211, tokenizer=b"a tokenizer")
    status.describe(prompted)
    beating = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    digest = beating.heartbeat().tokenizer
    kept: list[str] = []
    for _ in range(2):
        await redis.delete(tokenizer_key(digest))
        await beating._beat()
        kept.append(base64.b64decode(await redis.get(tokenizer_key(digest)) or "").decode())
    left_s = await redis.ttl(tokenizer_key(digest))
    beating.stop()
    await beating.run()

    assert (digest, beating.heartbeat().prompt_tokens) == (digest_of(b"a tokenizer"), 211)
    assert kept == ["a tokenizer"] * 2
    assert 0 < left_s <= TOKENIZER_TTL_S


async def test_what_redis_lost_is_written_back(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis
) -> None:
    """The promise that a host follows is there again, to the last change, for its time."""
    async with asyncio.timeout(WITHIN_S):
        while (written := await redis.get(spec_key(PROMISE.room))) is None:
            pulse[0].now()

    assert RoomSpec.from_metadata(written) == PROMISE
    assert 590 < await redis.ttl(spec_key(PROMISE.room)) <= 600


async def test_a_promise_that_cannot_be_read_ends_no_pulse(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis
) -> None:
    """What another version wrote is passed over; what can be read later is followed."""
    _, told = pulse
    await redis.set(spec_key(PROMISE.room), '{"room": 1}')
    told.followed.clear()
    pulse[0].now()
    await redis.set(spec_key(PROMISE.room), PROMISE.model_dump_json())

    await eventually(lambda: PROMISE in told.followed, "the readable one is followed")


@pytest.mark.parametrize(
    ("latest", "outdated"),
    [({"generation": 1}, False), ({}, False), ({"generation": 3}, True), ({"ended": True}, True)],
)
async def test_a_late_job_is_known(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis, latest: dict[str, Any], outdated: bool
) -> None:
    """A dispatch whose room has a newer generation, or none to serve any more, is refused."""
    beating, _ = pulse
    stored = PROMISE.model_copy(update=latest)
    await redis.set(spec_key(PROMISE.room), stored.model_dump_json())

    assert await beating.is_outdated(PROMISE) is outdated


@pytest.mark.parametrize(
    ("latest", "outdated"),
    [({}, False), ({"standby": ""}, True), ({"dispatched": 4}, True), ({"ended": True}, True)],
)
async def test_a_host_stands_by_only_while_its_move_is_wanted(
    pulse: tuple[HeartbeatPublisher, Told], redis: Redis, latest: dict[str, Any], outdated: bool
) -> None:
    """A move that was given up, or a later one, ends it; before its job is taken, and after."""
    beating, told = pulse
    moving = PROMISE.model_copy(update={"generation": 1, "standby": "me", "dispatched": 2})
    told.stands_by = True
    await redis.set(spec_key(PROMISE.room), moving.model_copy(update=latest).model_dump_json())

    assert await beating.is_outdated(moving) is outdated
    await eventually(lambda: bool(told.left or told.followed), "the host is told")
    assert bool(told.left) is outdated
    assert beating.heartbeat().outcomes[PROMISE.room].outcome == "standby"


async def test_a_worker_that_failed_leaves_its_reason(
    redis: Redis, redis_url: str, settings_for: SettingsFor
) -> None:
    """Its last heartbeat outlives it for a while, so that the page can say why nobody answers."""
    status = PublishedStatus("nvidia/model")
    beating = HeartbeatPublisher(settings_for(redis_url=redis_url), status, Hosts())
    task = asyncio.create_task(beating.run())
    status.change("error", "its licence is not accepted")
    beating.stop()
    await task
    left = await redis.get(heartbeat_key(status.worker_id))

    assert Heartbeat.model_validate_json(left).reason == "its licence is not accepted"
    assert HEARTBEAT_TTL_S < await redis.ttl(heartbeat_key(status.worker_id)) <= LAST_WORDS_TTL_S
    await redis.delete(heartbeat_key(status.worker_id))


async def test_slow_steps_are_told_once(redis_url: str, settings_for: SettingsFor) -> None:
    """The log says when nobody new is admitted any more, and when the doors open again."""
    engine = Sluggish()
    beating = HeartbeatPublisher(
        settings_for(redis_url=redis_url), PublishedStatus("echo"), Hosts()
    )
    beating.attach(engine, JobAdmission(lambda: 1))  # type: ignore[arg-type]  # what pulse reads of it
    with structlog.testing.capture_logs() as logs:
        for slow in (False, True, True, False):
            engine.too_slow = slow
            beating._tell_slowness()

    assert [(each["event"], each["p99_ms"]) for each in logs] == [
        ("steps_too_slow", 91.0),
        ("steps_in_time", 91.0),
    ]


async def test_a_taken_health_port_is_told(settings_for: SettingsFor) -> None:
    """A second worker beside the first ends with the setting that moves its port."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        health = HealthEndpoint(
            HeartbeatPublisher(settings_for(), PublishedStatus("echo"), Hosts()), "127.0.0.1", port
        )
        with pytest.raises(InvalidInput, match=f"WORKER_PORT={port}: expected"):
            await health.start()
        await health.aclose()


async def test_without_redis_a_job_is_taken(settings_for: SettingsFor) -> None:
    """Redis away is no reason to refuse: a newer generation is found when it is back."""
    away = settings_for(redis_url=f"redis://127.0.0.1:{free_port()}/0")

    assert (
        await HeartbeatPublisher(away, PublishedStatus("echo"), Hosts()).is_outdated(PROMISE)
        is False
    )


@pytest.mark.parametrize(("generation", "goes"), [(1, "new"), (3, "old")])
def test_of_two_hosts_of_a_room_the_older_generation_goes(generation: int, goes: str) -> None:
    """Whichever comes first: a late dispatch of the past does not end the present."""
    old, new, hosts = Told(), Told(), Hosts()
    hosts.add(old.hosting())
    hosts.add(replace(new.hosting(), generation=generation))

    assert {"old": bool(old.left), "new": bool(new.left)} == {
        "old": goes == "old",
        "new": goes == "new",
    }
    assert [each.generation for each in hosts.all()] == [max(2, generation)]


def test_outcomes_are_kept_for_a_while() -> None:
    """Each room has the outcome of its newest dispatch, until 40 s after that is over."""
    now = [0.0]
    hosts = Hosts(clock=lambda: now[0])
    hosts.refuse(PROMISE.model_copy(update={"room": "a", "generation": 1}))
    now[0] = OUTCOME_KEPT_S / 2
    hosts.refuse(PROMISE.model_copy(update={"room": "a", "generation": 2}))
    hosts.refuse(PROMISE.model_copy(update={"room": "a", "generation": 1}))
    hosts.refuse(PROMISE.model_copy(update={"room": "b", "generation": 7}))
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
    """A hosted room is told as hosted, unless a newer dispatch of it was refused."""
    hosts = Hosts()
    hosts.add(Told().hosting())
    hosts.refuse(PROMISE.model_copy(update={"generation": refused}))

    assert hosts.outcomes()[PROMISE.room].outcome == outcome


def test_a_host_ends_with_its_outcome() -> None:
    """A host that ended with an error is told as failed, and hosted no more."""
    hosts, hosting = Hosts(), Told().hosting()
    hosts.add(hosting)
    hosts.remove(hosting, "failed")

    assert hosts.outcomes() == {PROMISE.room: RoomOutcome(generation=2, outcome="failed")}
    assert hosts.all() == []
