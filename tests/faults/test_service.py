"""The token service dies or freezes in a call: the call goes on, and nothing is forgotten."""

from harness.person import eventually
from tests.faults.call import PERSONAS, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery


async def test_what_falls_while_the_service_is_away_is_healed(
    cluster: Cluster, recovery: Recovery
) -> None:
    """A call needs no token service; one that comes back knows and keeps all promises."""
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        service.kill()
        await call.is_whole(len(PERSONAS))
        undisturbed = call.identities
        cluster.host_of(call.room).kill()
        service.start()
        with recovery("worker and token service killed, once the service is back"):
            await call.is_whole(len(PERSONAS), without=before)

        assert undisturbed == before
        assert call.told()["id"] == session["id"]
        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}


async def test_a_service_that_wakes_up_disturbs_nobody(cluster: Cluster) -> None:
    """A frozen service delays no call; awake, it sees that all is well and changes nothing."""
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        with service.frozen():
            await call.is_whole(len(PERSONAS))
        await eventually(lambda: call.told().get("state") == "live", "the service answers")

        assert call.identities == before


async def test_two_services_heal_once(cluster: Cluster, recovery: Recovery) -> None:
    """Of two replicas one dispatches; also when the other wakes up in the middle of it."""
    cluster.become(services=2)
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        host = cluster.host_of(call.room)
        with recovery("worker killed, one of two token services frozen"):
            with cluster.services[1].frozen():
                host.kill()
                await eventually(lambda: not before & call.identities, "the dead are removed")
            await call.is_whole(len(PERSONAS), without=before)

        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}
