"""A worker's process of rooms dies or freezes in a call: its rooms get new hosts."""

import psutil

from harness.person import eventually
from harness.stack import room_processes
from tests.faults.call import PERSONAS, Call, calling
from tests.faults.cluster import CAPACITY, Cluster
from tests.faults.conftest import Recovery


def process_of(cluster: Cluster, call: Call) -> psutil.Process:
    """Return the process that hosts a call: the one that is connected to LiveKit."""
    processes = room_processes(cluster.host_of(call.room).pid)
    port = cluster.sfu.port
    [process] = [
        each
        for each in processes
        if any(one.raddr and one.raddr.port == port for one in each.net_connections("tcp"))
    ]
    return process


async def test_a_killed_process_of_rooms_is_replaced(cluster: Cluster, recovery: Recovery) -> None:
    """The rooms of a killed process speak again, at the same worker, which has all its slots.

    A spare hosts them: its process was there before.
    """
    cluster.become(workers=1)
    async with calling(cluster, *PERSONAS) as call:
        before, host = call.identities, cluster.host_of(call.room)
        [spare] = {*room_processes(host.pid)} - {killed := process_of(cluster, call)}
        with recovery("a worker's process of rooms killed"):
            killed.kill()
            await call.hears_all(len(PERSONAS), without=before)

        assert process_of(cluster, call) == spare
        assert cluster.host_of(call.room) is host
        assert host.told()["slots_used"] == len(PERSONAS)
        assert set(call.most_at_once.values()) == {1}
    await eventually(lambda: host.told()["slots_free"] == CAPACITY, "all slots are free")


async def test_a_frozen_process_of_rooms_is_given_up(cluster: Cluster, recovery: Recovery) -> None:
    """The rooms of a frozen process speak again once its worker has given it up."""
    async with calling(cluster, *PERSONAS) as call:
        before, frozen = call.identities, process_of(cluster, call)
        with recovery("a worker's process of rooms frozen"):
            frozen.suspend()
            await call.hears_all(len(PERSONAS), without=before)

        assert not frozen.is_running()
        assert set(call.most_at_once.values()) == {1}
    await eventually(lambda: cluster.slots_used() == 0, "the call is over")
