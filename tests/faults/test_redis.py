"""Redis dies or freezes in a call: the call goes on, and what was promised is learned again."""

import pytest
import redis

from tests.faults.call import PERSONAS, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery
from tests.person import eventually


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "empty"])
async def test_a_redis_that_comes_back_changes_no_call(
    cluster: Cluster, recovery: Recovery, keeps: bool
) -> None:
    """While it is away everybody is heard; afterwards the session is the same and is live."""
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        if keeps:
            with redis.Redis.from_url(cluster.redis_url) as client:
                client.save()
        cluster.redis.kill()
        await call.is_whole(len(PERSONAS))
        with recovery(f"redis restarted {'with its data' if keeps else 'empty'}"):
            cluster.redis.start()
            await eventually(lambda: call.told().get("state") == "live", "the session is live")
        await call.is_whole(len(PERSONAS))

        assert call.told()["id"] == session["id"]
        assert [each["id"] for each in call.told()["personas"]] == [
            each["id"] for each in session["personas"]
        ]
        assert call.identities == before


async def test_a_frozen_redis_changes_no_call(cluster: Cluster, recovery: Recovery) -> None:
    """Heartbeats that ran out meanwhile are no deaths."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        with cluster.redis.frozen():
            await eventually(lambda: "redis_away" in cluster.services[0].reads("/ready"), "missed")
            await call.is_whole(len(PERSONAS))
        with recovery("redis frozen, from its waking up"):
            await eventually(lambda: call.told().get("state") == "live", "the session is live")
        await call.is_whole(len(PERSONAS))

        assert call.identities == before
