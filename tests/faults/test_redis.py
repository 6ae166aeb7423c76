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


@pytest.mark.parametrize("livekit_redis", [False, True], ids=["by itself", "in redis"])
async def test_a_room_goes_on_and_ends_after_redis_forgot(
    cluster: Cluster, recovery: Recovery, livekit_redis: bool
) -> None:
    """After redis lost its data a worker that dies is replaced, and people and session are removed.

    A LiveKit that keeps its rooms there lost them, too: until it lists the room again, the session
    says so, and the removal of a person is refused with 503.
    """
    cluster.become(livekit_redis=livekit_redis)
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        path = f"/sessions/{session['id']}"
        person = f"{path}/people/{call.ann.room.local_participant.identity}"
        cluster.forget()
        await call.is_live()
        if livekit_redis:
            await eventually(lambda: not call.told()["people_known"], "the session says so")
            assert (call.told()["people"], service.deletes(person)) == ([], 503)
            assert call.ann.room.isconnected()
        undisturbed = call.identities
        host = cluster.host_of(call.room)
        too = " (LiveKit, too)" if livekit_redis else ""
        with recovery(f"redis forgot{too}, then the worker was killed"):
            host.kill()
            await call.hears_all(len(PERSONAS), without=before)
        # LiveKit in redis removes the dead participants by itself, when it misses them (20 s).
        await eventually(lambda: call.generations == {"2"}, "the dead are gone", WITHIN_S)
        after = call.told()
        removed = [] if livekit_redis else [service.deletes(person)]
        ended = service.deletes(path)
        await eventually(lambda: not call.ann.room.isconnected(), "Ann is gone", WITHIN_S)

    assert undisturbed == before
    assert after["id"] == session["id"]
    if not livekit_redis:
        assert (len(after["people"]), after["people_known"], removed) == (1, True, [204])
    assert ended == 204
