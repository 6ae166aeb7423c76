"""A worker dies or freezes in a call: another takes over, and no persona is there twice."""

import time

import numpy as np

from harness.person import eventually
from protocol import wire
from tests.faults.call import PERSONAS, TONE_HZ, calling
from tests.faults.cluster import CAPACITY, Cluster
from tests.faults.conftest import Recovery
from tests.worker.recording.listening import RATE_HZ, channels, found_at_s

AGREED = {"participant_attributes": {wire.ATTR_RECORD_CONSENT: "true"}}
TONE = np.sin(2 * np.pi * TONE_HZ * np.arange(RATE_HZ // 2) / RATE_HZ).astype(np.float32)
LOST_S = 2.0  # the most that a crash loses of a recording
A_SECOND = 8_000  # bytes


async def test_a_killed_workers_room_speaks_again(cluster: Cluster, recovery: Recovery) -> None:
    """A killed worker's room goes on at another worker, and its recording in a second part."""
    async with calling(cluster, *PERSONAS, record=True, **AGREED) as call:
        before, personas = call.identities, call.told()["personas"]
        host = cluster.host_of(call.room)
        parts = f"*/{call.told()['id']}/*.ogg"
        await eventually(
            lambda: any(each.stat().st_size > A_SECOND for each in cluster.recordings.glob(parts)),
            "the recording grows",
        )
        with recovery("worker killed, another lives"):
            killed_s = time.time()
            host.kill()
            await call.hears_all(len(PERSONAS), without=before)
        after = call.told()

        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}
        assert [each["id"] for each in after["personas"]] == [each["id"] for each in personas]
    await eventually(lambda: cluster.slots_used() == 0, "the call is over")
    first, second = sorted(cluster.recordings.glob(parts))

    assert killed_s - first.stat().st_mtime < LOST_S
    assert [part.stem.rpartition("-")[2] for part in (first, second)] == ["1", "2"]
    for part in (first, second):
        assert found_at_s(TONE, channels(part)[0])[1] > 0.4


async def test_a_frozen_workers_room_speaks_again(cluster: Cluster, recovery: Recovery) -> None:
    """A frozen worker's room moves to another worker, and the old host leaves when it wakes up."""
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        host = cluster.host_of(call.room)
        with host.frozen(), recovery("worker frozen, another lives"):
            await call.hears_all(len(PERSONAS), without=before)
        after = call.identities
        await eventually(lambda: host.told().get("slots_free") == CAPACITY, "the old host leaves")
        await call.hears_all(len(PERSONAS), without=before)

        assert call.identities == after
        assert call.generations == {"2"}
        assert set(call.most_at_once.values()) == {1}


async def test_without_another_worker_the_room_waits_and_says_why(
    cluster: Cluster, recovery: Recovery
) -> None:
    """Without a worker the room's session is `waiting`, and it is live once a worker is back."""
    cluster.become(workers=1)
    async with calling(cluster, *PERSONAS) as call:
        before = call.identities
        [host] = (worker for worker in cluster.workers if worker.pid)
        with recovery("the only worker killed, until the room waits"):
            host.kill()
            await eventually(lambda: call.told()["state"] == "waiting", "the room waits")
        reason = call.told()["waiting"]["code"]
        await eventually(lambda: not call.identities, "the dead are removed")
        with recovery("the only worker started again"):
            host.start()
            await call.hears_all(len(PERSONAS), without=before)

        assert reason == "no_worker"
        assert call.told()["state"] == "live"
        assert set(call.most_at_once.values()) == {1}
