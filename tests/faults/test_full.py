"""A full cluster of real workers: it says so at once, and who waits goes live by itself."""

from tests.faults.call import PERSONAS, TONE_HZ, Call, calling
from tests.faults.cluster import CAPACITY, Cluster
from tests.faults.conftest import Recovery
from tests.person import eventually, joined


async def test_who_waits_goes_live_by_itself(cluster: Cluster, recovery: Recovery) -> None:
    """The line moves when a call ends; who would not wait was told when to come back."""
    cluster.become(workers=1)
    [service] = cluster.services
    wish = {"personas": list(PERSONAS), "wait": True}
    async with calling(cluster, *["chef"] * CAPACITY) as first:
        refused = service.asked("/sessions", wish | {"wait": False})
        opened = service.asked("/sessions", wish).json()
        async with joined(opened) as bob:
            bob.tone_hz = TONE_HZ
            second = Call(bob, cluster.url)
            second.watch()
            await eventually(lambda: second.told()["state"] == "waiting", "it waits")
            reason = second.told()["waiting"]
            await first.is_whole(CAPACITY)
            with recovery("a full cluster: a call ends, until who waits is spoken with"):
                await first.ann.room.disconnect()
                await second.is_whole(len(PERSONAS))

            assert (refused.status_code, refused.json()["error"]) == (503, "full")
            assert int(refused.headers["Retry-After"]) > 0
            assert (opened["state"], reason["code"], reason["position"]) == ("waiting", "full", 1)
            assert second.told()["state"] == "live"
            assert set(second.most_at_once.values()) == {1}
