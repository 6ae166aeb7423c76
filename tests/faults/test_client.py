"""A client vanishes without a goodbye: nobody speaks to an empty room for long."""

from tests.faults.call import PERSONAS, WITHIN_S, calling
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery
from tests.person import eventually


async def test_a_killed_clients_slots_are_free_again(cluster: Cluster, recovery: Recovery) -> None:
    """LiveKit misses it, its room's host leaves, and another call hears nothing of it."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        visitor = cluster.visitor()
        visitor.start()
        both = 2 * len(PERSONAS)
        await eventually(lambda: cluster.slots_used() == both, "both calls count", WITHIN_S)
        with recovery("a client killed, until its slots are free"):
            visitor.kill()
            await eventually(
                lambda: cluster.slots_used() == len(PERSONAS), "its slots are free", WITHIN_S
            )
        await call.is_whole(len(PERSONAS))

        assert call.identities == before
