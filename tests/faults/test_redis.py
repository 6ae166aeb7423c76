"""Redis dies, freezes or loses its data in a call; some LiveKits keep their rooms in it."""

import pytest
import redis

from harness.person import eventually
from tests.faults.call import PERSONAS, WITHIN_S, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery


@pytest.mark.parametrize("data", ["its data", "older data", "no data"])
async def test_a_restart_of_redis_changes_no_call(
    cluster: Cluster, recovery: Recovery, data: str
) -> None:
    """While redis is away everyone is heard, and afterwards the session is the same and live."""
    with redis.Redis.from_url(cluster.redis_url) as client:
        client.save()
        async with calling(cluster, *PERSONAS) as call:
            before, session = call.identities, call.told()
            if data == "no data":
                client.flushall()
            if data != "older data":
                client.save()
            cluster.redis.kill()
            await call.hears_all(len(PERSONAS))
            with recovery(f"redis restarted with {data}"):
                cluster.redis.start()
                await call.is_live()
            await call.hears_all(len(PERSONAS))

            assert call.told()["id"] == session["id"]
            assert [each["id"] for each in call.told()["personas"]] == [
                each["id"] for each in session["personas"]
            ]
            assert call.identities == before


async def test_a_frozen_redis_changes_no_call(cluster: Cluster, recovery: Recovery) -> None:
    """Heartbeats that expired in a frozen redis replace no host."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        with cluster.redis.frozen():
            await eventually(
                lambda: "redis_away" in cluster.services[0].reads("/ready"), "the service misses it"
            )
            await call.hears_all(len(PERSONAS))
        with recovery("redis frozen, from its end"):
            await call.is_live()
        await call.hears_all(len(PERSONAS))

        assert call.identities == before


LIVEKITS = pytest.mark.parametrize("livekit_redis", [False, True], ids=["by itself", "in redis"])


@LIVEKITS
async def test_a_worker_that_dies_after_redis_forgot_is_replaced(
    cluster: Cluster, recovery: Recovery, livekit_redis: bool
) -> None:
    """A worker that dies after redis lost its data is replaced, even if LiveKit lost its rooms."""
    cluster.become(livekit_redis=livekit_redis)
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        cluster.forget()
        await call.is_live()
        if livekit_redis:
            await eventually(lambda: not call.told()["people_known"], "the session says so")
        undisturbed = call.identities
        host = cluster.host_of(call.room)
        too = " (LiveKit, too)" if livekit_redis else ""
        with recovery(f"redis forgot{too}, then the worker was killed"):
            host.kill()
            await call.hears_all(len(PERSONAS), without=before)

        # LiveKit in redis removes the dead participants by itself, when it misses them (20 s).
        await eventually(lambda: call.generations == {"2"}, "the dead are gone", WITHIN_S)

        assert undisturbed == before
        assert call.told()["id"] == session["id"]


@LIVEKITS
async def test_after_redis_forgot_people_are_removed(cluster: Cluster, livekit_redis: bool) -> None:
    """After redis lost its data a person is removed or the refusal is 503, and the session ends."""
    cluster.become(livekit_redis=livekit_redis)
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        path = f"/sessions/{call.told()['id']}"
        identity = call.ann.room.local_participant.identity
        cluster.forget()
        await call.is_live()
        told = call.told()
        answer = service.deletes(f"{path}/people/{identity}")
        there = call.ann.room.isconnected()
        ended = service.deletes(path)
        await eventually(lambda: not call.ann.room.isconnected(), "Ann is gone", WITHIN_S)

    if livekit_redis:
        assert (told["people"], told["people_known"], answer, there) == ([], False, 503, True)
    else:
        assert ([each["identity"] for each in told["people"]], told["people_known"]) == (
            [identity],
            True,
        )
        assert answer == 204
    assert ended == 204
