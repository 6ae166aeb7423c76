"""LiveKit dies or freezes in a call: the personas return when the people do."""

from livekit import rtc

from harness.person import eventually
from tests.faults.call import PERSONAS, WITHIN_S, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery


async def test_personas_return_when_people_do(cluster: Cluster, recovery: Recovery) -> None:
    """After LiveKit was killed and started again, the persons and their personas join again."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.told()["personas"]

        def state() -> int:
            return call.ann.room.connection_state

        with recovery("livekit killed and started again"):
            cluster.livekit.kill()
            await eventually(
                lambda: state() == rtc.ConnectionState.CONN_RECONNECTING, "Ann reconnects"
            )
            cluster.livekit.start()
            await eventually(
                lambda: state() == rtc.ConnectionState.CONN_CONNECTED, "Ann is back", WITHIN_S
            )
            await call.hears_all(len(PERSONAS))
        after = call.told()["personas"]

        assert [each["id"] for each in after] == [each["id"] for each in before]
        assert set(call.most_at_once.values()) == {1}


async def test_a_frozen_livekit_ends_no_call(cluster: Cluster, recovery: Recovery) -> None:
    """After LiveKit was frozen the call goes on with the same personas, each of them once."""
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        with cluster.livekit.frozen():
            await eventually(
                lambda: "livekit_away" in cluster.services[0].reads("/ready"),
                "the service misses LiveKit",
            )
        with recovery("livekit frozen, from its end until every persona is heard"):
            await call.hears_all(len(PERSONAS))
        await call.is_live()

        assert call.told()["id"] == session["id"]
        assert call.identities == before
        assert set(call.most_at_once.values()) == {1}
