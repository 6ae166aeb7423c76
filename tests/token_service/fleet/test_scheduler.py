"""The scheduler: slots reserved once and for a time; the queue; failing workers."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.heartbeat import Heartbeat, RoomOutcome
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from tests.token_service.players import beat
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import (
    CALM_DISPATCHES,
    DISPATCH_GRACE_S,
    ROOM_FIELD,
    RoomEntry,
    Schedule,
    WorkerEntry,
    grace_s,
)
from token_service.fleet.scheduler import FIRST, decide, reserve, reserve_more
from token_service.refusals import Unavailable
from token_service.rooms.store import SpecStore

HOLD_S = 30.0
NOW_S = 1000.0
CHEF = Persona(name="chef", label="Chef")


def worker(worker_id: str = "w", **fields: Any) -> Heartbeat:
    """Return the heartbeat of a ready worker with six free slots."""
    usual = {"worker_id": worker_id, "state": "ready", "model": "pocket", "slots_free": 6}
    return Heartbeat.model_validate(usual | fields)


def fleet(*workers: Heartbeat, schedule: Schedule | None = None) -> Fleet:
    """Return a fleet at a moment, with nothing scheduled unless a schedule is given."""
    return Fleet(workers, schedule if schedule is not None else Schedule(now_s=NOW_S))


def later(schedule: Schedule, seconds: float) -> Schedule:
    """Return the schedule as it is read from redis `seconds` later."""
    fields, _ = schedule.changes()
    return Schedule(fields, schedule.now_s + seconds)


def hosting(room: str, generation: int = 1, outcome: str = "hosted") -> dict[str, RoomOutcome]:
    """Return the outcomes of a worker that had one dispatch."""
    became = {"outcome": "left", "lost": True} if outcome == "lost" else {"outcome": outcome}
    return {room: RoomOutcome.model_validate({"generation": generation} | became)}


def spec(room: str = "r", **fields: Any) -> RoomSpec:
    """Return the spec of a room with one persona."""
    return RoomSpec(room=room, personas=(CHEF,), opened_s=500.0, **fields)


async def test_no_slot_is_given_twice(redis: Redis) -> None:
    """Twenty rooms ask for two slots at once: five get them, and no slot is given twice."""
    await beat(redis, "one", slots_free=6)
    await beat(redis, "two", slots_free=5)
    specs = SpecStore(redis, FleetReader(redis), 600)

    async def take(room: str) -> str | None:
        return await specs.schedule(lambda now: reserve(now, room, 2, HOLD_S))

    given = await asyncio.gather(*(take(f"room {number}") for number in range(20)))

    assert sorted(given, key=str) == [None] * 15 + ["one"] * 3 + ["two"] * 2


async def test_an_entry_that_expired_is_deleted(redis: Redis) -> None:
    """An expired entry is deleted from the hash with the next change."""
    specs = SpecStore(redis, FleetReader(redis), 600)
    await specs.schedule(lambda now: now.schedule.enqueue("old", 1, 1.0))
    entry = RoomEntry(queued_s=1.0, expires_s=1.0)
    await redis.hset("moshi:schedule", ROOM_FIELD + "old", entry.model_dump_json())
    await specs.schedule(lambda now: now.schedule.enqueue("new", 1, 1.0))

    assert set(await redis.hkeys("moshi:schedule")) == {"since", ROOM_FIELD + "new"}


@pytest.mark.parametrize("back_s", [3600.0, 700.0])
def test_a_clock_that_is_set_back_ends_what_was_scheduled(back_s: float) -> None:
    """What was noted before redis' clock went back by an hour does not hold for an hour more."""
    before = fleet(worker())
    reserve(before, "r", 6, HOLD_S)
    for _ in range(3):
        before.schedule.count_failure("w")
    before.schedule.dispatch("other", 1)
    after = later(before.schedule, -back_s)

    assert fleet(worker(), schedule=after).free_by_worker() == {"w": 6}
    assert (after.is_open("w"), after.is_awaited("other", 1)) == (False, False)
    assert len(after.changes()[1]) == 3


def test_a_room_is_never_split() -> None:
    """A room's slots are all reserved on one worker."""
    assert reserve(fleet(worker("a", slots_free=2), worker("b", slots_free=2)), "r", 3, 9) is None


def test_the_emptiest_worker_is_taken() -> None:
    """The worker with the most free slots is chosen."""
    now = fleet(worker("one", slots_free=5), worker("two", slots_free=6))

    assert [reserve(now, room, 2, HOLD_S) for room in "abc"] == ["two", "one", "two"]


def test_a_reservation_ends_by_itself() -> None:
    """A reservation ends after its time, and its slots go to the next room."""
    now = fleet(worker(slots_free=1))
    reserve(now, "a", 1, HOLD_S)
    soon, after = later(now.schedule, HOLD_S - 1), later(now.schedule, HOLD_S)

    assert reserve(fleet(worker(slots_free=1), schedule=soon), "b", 1, HOLD_S) is None
    assert reserve(fleet(worker(slots_free=1), schedule=after), "b", 1, HOLD_S) == "w"


def test_a_room_keeps_its_worker() -> None:
    """A room that asks again keeps its worker and its reservation's end."""
    now = fleet(worker("one", slots_free=2))
    reserve(now, "a", 1, HOLD_S)
    now = fleet(worker("one", slots_free=2), worker("two"), schedule=now.schedule)

    assert reserve(now, "a", 2, 0.0) == "one"
    assert (kept := now.reservation("a")) is not None
    assert (kept.slots, kept.until_s) == (2, NOW_S + HOLD_S)


def test_a_hosted_rooms_slots_are_not_counted_twice() -> None:
    """Once a heartbeat shows a room as hosted, the room's reservation is not counted."""
    now = fleet(worker(slots_free=2))
    reserve(now, "a", 1, HOLD_S)
    hosts = worker(slots_free=1, slots_used=1, outcomes=hosting("a"))

    assert reserve(fleet(hosts, schedule=now.schedule), "b", 1, HOLD_S) == "w"


def test_the_slots_of_a_host_that_stands_by_are_not_counted_twice() -> None:
    """A standby's reservation is not counted once a heartbeat shows its generation."""
    now = fleet(worker(slots_free=2))
    reserve(now, "a", 1, HOLD_S)
    now.schedule.await_standby("a", 2)
    stands_by = worker(slots_free=1, slots_used=1, outcomes=hosting("a", 2, "standby"))
    older = worker(slots_free=1, slots_used=1, outcomes=hosting("a", 1, "standby"))

    assert fleet(stands_by, schedule=now.schedule).free_by_worker() == {"w": 1}
    assert fleet(older, schedule=now.schedule).free_by_worker() == {"w": 0}


def test_a_hosted_room_keeps_no_reservation() -> None:
    """A room that was hosted has no reservation left."""
    now = fleet(worker(slots_free=1))
    reserve(now, "a", 1, HOLD_S)
    now.schedule.settle("a", 1)
    now.schedule.settle("unknown", 1)

    assert reserve(now, "b", 1, HOLD_S) == "w"
    assert "unknown" not in now.schedule.rooms


def test_an_older_host_is_not_the_awaited_one() -> None:
    """An older generation's host does not count as the arrival of the awaited one."""
    schedule = Schedule(now_s=NOW_S)
    schedule.dispatch("r", 2)
    schedule.settle("r", 1)

    assert schedule.is_awaited("r", 2) is True
    assert schedule.has_arrived("r", 2) is False


def test_reserved_slots_are_not_free() -> None:
    """Reserved slots are not free for another room."""
    now = fleet(worker())
    reserve(now, "a", 4, HOLD_S)

    assert (now.slots_free, now.reserved()[now.workers[0].worker_id]) == (2, 4)
    assert (obstacle := now.obstacle(3)) is not None and obstacle.code == "full"


def test_a_released_reservation_is_free() -> None:
    """Released slots are free at once."""
    now = fleet(worker(slots_free=1))
    reserve(now, "a", 1, HOLD_S)
    now.schedule.release("a")

    assert reserve(now, "b", 1, HOLD_S) == "w"


@pytest.mark.parametrize("state", ["starting", "loading_model", "draining", "error"])
def test_only_ready_workers_are_taken(state: str) -> None:
    """A worker in another state than `ready` gets no room."""
    assert reserve(fleet(worker(state=state)), "a", 1, HOLD_S) is None


def test_more_slots_are_reserved_where_the_host_is() -> None:
    """More slots for a hosted room are reserved on its host, for a time."""
    host = worker("host", slots_free=2, outcomes=hosting("r"))
    now = fleet(host, worker("empty"))
    given = [reserve_more(now, "r", 1, host, 3.0) for _ in range(3)]

    assert (given, now.reserved()[host.worker_id]) == ([True, True, False], 2)
    assert fleet(host, schedule=later(now.schedule, 3.0)).reserved()[host.worker_id] == 0


def test_a_hosted_room_gets_no_slots_before_the_queue() -> None:
    """A hosted room gets no more slots while another room waits in the queue."""
    host = worker(slots_free=2, outcomes=hosting("r"))
    now = fleet(host)
    now.schedule.enqueue("waits", 1, 10.0)

    assert reserve_more(now, "r", 1, host, 3.0) is False


def test_the_queue_is_served_in_its_order() -> None:
    """A room gets no slots while another waits before it in the queue."""
    now = fleet(worker(slots_free=1))
    now.schedule.enqueue("late", 1, 20.0)
    now.schedule.enqueue("early", 1, 10.0)
    given = [reserve(now, room, 1, HOLD_S) for room in ("new", "late", "early")]

    assert given == [None, None, "w"]
    assert now.schedule.queue == ["late"]


def test_a_room_that_lost_its_host_comes_first() -> None:
    """A room that lost its host is first in the queue."""
    now = fleet(worker(slots_free=0))
    now.schedule.enqueue("early", 1, 10.0)
    decide(spec("lost", generation=1, worker="gone"), now)
    decide(spec("new"), now)

    assert now.schedule.queue == ["lost", "early", "new"]
    assert now.schedule.room("lost").queued_s == FIRST


def test_a_room_that_no_worker_could_ever_take_blocks_no_other() -> None:
    """A room with more personas than any worker has slots does not block the queue."""
    now = fleet(worker())
    now.schedule.enqueue("crowd", 7, FIRST)

    assert reserve(now, "a", 1, HOLD_S) == "w"


def test_a_position_in_the_queue_is_told() -> None:
    """The position in the queue is counted from 1, also for a room that would join it."""
    schedule = Schedule(now_s=NOW_S)
    schedule.enqueue("early", 1, 10.0)
    schedule.enqueue("late", 1, 20.0)

    assert schedule.position("late", 20.0) == 2
    assert schedule.position("between", 15.0) == 2


def test_a_failing_worker_gets_nothing() -> None:
    """After three failures within a minute a worker gets no room."""
    now = fleet(worker("bad"), worker("good", slots_free=1))
    opened_s = [now.schedule.count_failure("bad") for _ in range(3)]

    assert opened_s == [0.0, 0.0, 30.0]
    assert [reserve(now, room, 1, HOLD_S) for room in "ab"] == ["good", None]


@pytest.mark.parametrize(("apart_s", "opens"), [(59, True), (61, False)])
def test_failures_count_together_within_a_minute(apart_s: float, opens: bool) -> None:
    """Three failures open the breaker if no minute lies between two of them."""
    schedule = Schedule(now_s=NOW_S)
    opened = schedule.count_failure("w") + schedule.count_failure("w")
    schedule = later(schedule, apart_s)

    assert opened == 0.0
    assert (schedule.count_failure("w") > 0) is opens


def test_a_breaker_opens_for_longer_each_time() -> None:
    """A breaker is open for 30 s, and after one more failure for 60 s."""
    schedule = Schedule(now_s=NOW_S)
    for _ in range(6):  # failures after the third come while the breaker is open, and do not count
        schedule.count_failure("w")
    closed, again = later(schedule, 30), later(schedule, 31)

    assert (schedule.is_open("w"), closed.is_open("w")) == (True, False)
    assert again.count_failure("w") == 60.0
    assert (again.is_open("w"), again.is_open("v")) == (True, False)


def test_failing_workers_are_a_reason_of_their_own() -> None:
    """When every worker fails, the reason is `worker_failing`, not `full`."""
    now = fleet(worker())
    for _ in range(3):
        now.schedule.count_failure("w")
    obstacle = now.obstacle(1)

    assert obstacle is not None
    assert (obstacle.code, obstacle.retry_after_s) == ("worker_failing", 30)


def test_a_dispatch_is_decided_once() -> None:
    """A dispatch writes the next generation and worker, reserves the slots, and awaits the host."""
    now = fleet(worker())
    decision = decide(spec(generation=3), now)

    assert decision.is_dispatch
    assert (decision.spec.generation, decision.spec.worker) == (4, "w")
    assert now.is_awaited(decision.spec) is True
    assert now.is_awaited(spec(generation=3)) is False
    assert now.reserved()[now.workers[0].worker_id] == 1


def test_a_reason_for_waiting_is_told_once() -> None:
    """A repeated reason for waiting is marked as told, and the dispatch ends the waiting."""
    now = fleet(worker(slots_free=0, slots_used=6))
    decisions = [decide(spec(), now) for _ in range(2)]
    then = fleet(schedule=now.schedule)
    decisions.append(decide(spec(), then))
    at_last = decide(spec(), fleet(worker(), schedule=then.schedule))
    waits = [(decision.waits and decision.waits.code, decision.is_told) for decision in decisions]

    assert waits == [("full", False), ("full", True), ("no_worker", False)]
    assert (at_last.is_dispatch, then.schedule.queue) == (True, [])
    assert then.schedule.room("r").waiting == ""


def test_a_room_with_an_unreadable_prompt_is_not_queued() -> None:
    """A room whose prompt no worker can read is not queued and reserves nothing."""
    now = fleet(worker())
    decision = decide(spec(), now, Unavailable("prompt_too_long", "Too long.", 60))

    assert not decision.is_dispatch
    assert decision.waits and decision.waits.code == "prompt_too_long"
    assert (now.schedule.queue, now.reserved()[now.workers[0].worker_id]) == ([], 0)


@pytest.mark.parametrize(
    ("outcome", "arrived", "lost", "failures"),
    [
        (None, False, "failed", 1),  # the host never came
        (None, True, "failed", 0),  # the host came and left long ago
        ("failed", True, "failed", 1),
        ("left", False, "left", 0),  # the host came and left between two sweeps
        ("lost", False, "lost", 0),  # its process ended before a sweep saw it
        ("refused", False, "refused", 0),  # the worker was full after all
    ],
)
def test_a_lost_host_is_handled_once(
    outcome: str | None, arrived: bool, lost: str, failures: int
) -> None:
    """A lost host is handled once, and is a failure if it never came or ended with an error."""
    first = fleet(worker())
    dispatched = decide(spec(), first).spec
    if arrived:
        first.schedule.settle("r", 1)
    outcomes = hosting("r", 1, outcome) if outcome else {}
    then = fleet(worker(slots_free=0, outcomes=outcomes), schedule=first.schedule)
    decisions = [decide(dispatched, then)]
    decisions.append(decide(decisions[0].spec, then))

    assert [decision.last for decision in decisions] == [lost, None]
    assert then.schedule.workers.get("w", WorkerEntry()).failures == failures
    assert decisions[0].spec.worker == ""


@pytest.mark.parametrize(("dispatches", "seconds"), [(1, 10), (2, 20), (3, 30), (4, 30), (99, 30)])
def test_each_dispatch_in_a_row_is_awaited_longer(dispatches: int, seconds: float) -> None:
    """The wait for a host grows by 10 s per dispatch in a row, up to 30 s."""
    assert grace_s(dispatches) == seconds


def test_a_host_whose_process_ended_is_not_awaited() -> None:
    """A host that no sweep saw is replaced at once where its process has ended."""
    first = fleet(worker())
    dispatched = decide(spec(), first).spec
    unseen = fleet(worker(), schedule=first.schedule)
    ended = fleet(worker(outcomes=hosting("r", 1, "lost")), schedule=first.schedule)

    assert (unseen.is_awaited(dispatched), ended.is_awaited(dispatched)) == (True, False)


@pytest.mark.parametrize("count", [1, CALM_DISPATCHES, CALM_DISPATCHES + 1])
def test_after_several_dispatches_hosts_that_left_are_awaited(count: int) -> None:
    """After more than CALM_DISPATCHES in a row a host is awaited even if it had arrived."""
    schedule = Schedule(now_s=NOW_S)
    for generation in range(1, count + 1):
        schedule.dispatch("r", generation)
        schedule.settle("r", generation)
    now = fleet(schedule=schedule)

    assert now.is_awaited(spec(generation=count, worker="gone")) is (count > CALM_DISPATCHES)


@pytest.mark.parametrize(("outcome", "seconds"), [("left", 20.0), ("left", 5.0), ("lost", 20.0)])
def test_people_who_come_and_go_do_not_wait(outcome: str, seconds: float) -> None:
    """A host that served its people for a while and left is not awaited, however often that was."""
    schedule = Schedule(now_s=NOW_S)
    for generation in range(1, CALM_DISPATCHES + 2):
        schedule.dispatch("r", generation)
        schedule.settle("r", generation)
        schedule = later(schedule, seconds)
    left = worker(outcomes=hosting("r", CALM_DISPATCHES + 1, outcome))
    now = fleet(left, schedule=schedule)

    served = outcome == "left" and seconds > DISPATCH_GRACE_S
    assert now.is_awaited(spec(generation=CALM_DISPATCHES + 1, worker="w")) is not served


def test_dispatches_long_ago_do_not_count() -> None:
    """Dispatches count as in a row until two minutes after the last one."""
    schedule = Schedule(now_s=NOW_S)
    for generation in range(1, 4):
        schedule.dispatch("r", generation)

    assert later(schedule, 119).dispatches("r") == 3
    assert later(schedule, 121).dispatches("r") == 0


def test_a_host_that_came_and_left_keeps_no_reservation() -> None:
    """A reservation of a room that was seen as hosted does not count after the host left."""
    now = fleet(worker(slots_free=2))
    reserve(now, "a", 2, HOLD_S)
    hosts = worker(slots_free=0, slots_used=2, outcomes=hosting("a"))
    reserve(fleet(hosts, schedule=now.schedule), "b", 1, HOLD_S)

    assert reserve(fleet(worker(slots_free=2), schedule=now.schedule), "b", 2, HOLD_S) == "w"
