"""The token service dies or freezes in a call: the call goes on, and nothing is lost."""

from harness.person import eventually
from tests.faults.call import PERSONAS, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery


async def test_a_worker_killed_while_the_service_is_away_is_replaced(
    cluster: Cluster, recovery: Recovery
) -> None:
    """A worker killed while the token service is away is replaced when the service is back."""
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        before, session = call.identities, call.told()
        service.kill()
        await call.hears_all(len(PERSONAS))
        undisturbed = call.identities
        cluster.host_of(call.room).kill()
        service.start()
        with recovery("worker and token service killed, once the service is back"):
            await call.hears_all(len(PERSONAS), without=before)

        assert undisturbed == before
        assert call.told()["id"] == session["id"]
        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}


async def test_a_service_that_was_frozen_changes_no_call(cluster: Cluster) -> None:
    """A token service that was frozen changes nothing in a call when it goes on."""
    service = cluster.services[0]
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        with service.frozen():
            await call.hears_all(len(PERSONAS))
        await eventually(lambda: call.told().get("state") == "live", "the service answers")

        assert call.identities == before


async def test_two_services_replace_a_host_once(cluster: Cluster, recovery: Recovery) -> None:
    """Two token services, one of them frozen for a while, replace a killed host once."""
    cluster.become(services=2)
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        host = cluster.host_of(call.room)
        with recovery("worker killed, one of two token services frozen"):
            with cluster.services[1].frozen():
                host.kill()
                await eventually(lambda: not before & call.identities, "the dead are removed")
            await call.hears_all(len(PERSONAS), without=before)

        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}
