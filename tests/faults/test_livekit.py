"""LiveKit dies or freezes: the personas are back in the room when the people are."""

from livekit import rtc

from harness.person import eventually
from tests.faults.call import PERSONAS, WITHIN_S, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery


async def test_personas_come_back_when_people_do(cluster: Cluster, recovery: Recovery) -> None:
    """LiveKit forgets every room; people join again, and so do their personas."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.told()["personas"]

        def state() -> int:
            return call.ann.room.connection_state

        with recovery("livekit killed and started again"):
            cluster.livekit.kill()
            await eventually(lambda: state() == rtc.ConnectionState.CONN_RECONNECTING, "missed")
            cluster.livekit.start()
            await eventually(
                lambda: state() == rtc.ConnectionState.CONN_CONNECTED, "Ann is back", WITHIN_S
            )
            await call.is_whole(len(PERSONAS))
        after = call.told()["personas"]

        assert [each["id"] for each in after] == [each["id"] for each in before]
        assert set(call.most_at_once.values()) == {1}


async def test_a_frozen_livekit_ends_no_call(cluster: Cluster, recovery: Recovery) -> None:
    """After it wakes up the call continues: no persona was replaced, and none is there twice."""
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        with cluster.livekit.frozen():
            await eventually(
                lambda: "livekit_away" in cluster.services[0].reads("/ready"), "it is missed"
            )
        with recovery("livekit frozen, from its waking up: everybody is heard"):
            await call.is_whole(len(PERSONAS))
        await eventually(lambda: call.told().get("state") == "live", "the session is live")

        assert call.told()["id"] == session["id"]
        assert call.identities == before
        assert set(call.most_at_once.values()) == {1}
