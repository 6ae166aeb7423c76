"""A full cluster of real workers, and a client that vanishes."""

from harness.person import eventually, joined
from tests.faults.call import PERSONAS, TONE_HZ, WITHIN_S, Call, calling
from tests.faults.cluster import CAPACITY, Cluster
from tests.faults.conftest import Recovery


async def test_a_vanished_clients_slots_go_to_a_waiting_session(
    cluster: Cluster, recovery: Recovery
) -> None:
    """While all slots are used a session waits, and it is live once a client was killed."""
    cluster.become(workers=1)
    service = cluster.services[0]
    asked = {"personas": list(PERSONAS)}
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        cluster.visitor.start()
        await eventually(lambda: cluster.slots_used() == CAPACITY, "all slots are used", WITHIN_S)
        refused = service.asked("/sessions", asked)
        opened = service.asked("/sessions", asked | {"wait": True}).json()
        async with joined(opened["server_url"], opened["participant_token"]) as bob:
            bob.tone_hz = TONE_HZ
            second = Call(bob, cluster.url)
            second.watch()
            told = second.told()
            with recovery("a client killed, until its slots are another session's"):
                cluster.visitor.kill()
                await eventually(
                    lambda: second.told()["state"] != "waiting",
                    "the waiting session gets the slots",
                    WITHIN_S,
                )
            with recovery(
                "a full cluster: slots are free, until the waiting session's personas are heard"
            ):
                await second.hears_all(len(PERSONAS))
            live = second.told()["state"]
        await call.hears_all(len(PERSONAS))

    assert (refused.status_code, refused.json()["error"]) == (503, "full")
    assert int(refused.headers["Retry-After"]) > 0
    assert (told["state"], told["waiting"]["code"], told["waiting"]["position"]) == (
        "waiting",
        "full",
        1,
    )
    assert live == "live"
    assert call.identities == before
    assert set(second.most_at_once.values()) == {1}
