"""Decides which worker gets a room, or why the room waits. Pure: changes the schedule's draft.

A reservation is all slots that a room needs, on one worker. LiveKit knows nothing of it: the
dispatch names the worker. Rooms in the queue have people in them and wait for a host.
"""

from dataclasses import dataclass

from protocol.heartbeat import Heartbeat
from protocol.room_spec import RoomSpec
from token_service.auth.callers import Caller
from token_service.fleet.fleet import Became, Fleet, slots_of
from token_service.fleet.schedule import DISPATCH_GRACE_MAX_S, Hold, Reservation
from token_service.refusals import Unavailable, full

FIRST = 0.0  # in the queue: a room that lost its host comes before all others
SHARE = 2  # a caller with a name may hold half of all slots for people who have not come
STRANGERS_SHARE = 4
LEAST = 2  # slots of a share, in a small fleet
REMEMBERED_S = 300.0  # a stranger's hold; else one address could hold the same slots for ever


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision on a room without a host. `spec` is its spec from now on."""

    spec: RoomSpec
    last: Became | None = None  # how the last dispatch ended; None: there was none to handle
    breaker_open_s: float = 0.0  # its worker's breaker opens now
    waits: Unavailable | None = None  # no worker has the slots
    is_told: bool = False  # that reason was told already
    is_dispatch: bool = False  # dispatch the spec to its worker


def decide(spec: RoomSpec, fleet: Fleet, obstacle: Unavailable | None = None) -> Decision:
    """Decide on an occupied room that has no host and awaits none.

    `obstacle`: a reason to wait that the fleet does not show. A lost host is handled once:
    afterwards the spec names no worker.
    """
    schedule, room, slots = fleet.schedule, spec.room, len(spec.personas)
    last, open_s = None, 0.0
    since_s = FIRST if spec.worker else spec.opened_s
    if spec.worker:
        last = fleet.outcome(spec) or "failed"
        open_s = _count_failure(spec, fleet)
        schedule.give_up(room)
        spec = spec.model_copy(update={"worker": ""})
    if obstacle is None and (worker := reserve(fleet, room, slots, DISPATCH_GRACE_MAX_S)):
        generation = spec.newest + 1
        schedule.dispatch(room, generation)
        spec = spec.model_copy(update={"generation": generation, "worker": worker})
        return Decision(spec, last, open_s, is_dispatch=True)
    if obstacle is None:
        schedule.enqueue(room, slots, since_s)
        obstacle = fleet.obstacle(slots) or full()
    is_told = schedule.room(room).waiting == obstacle.code
    schedule.update(room, waiting=obstacle.code)
    return Decision(spec, last, open_s, obstacle, is_told)


def _count_failure(spec: RoomSpec, fleet: Fleet) -> float:
    """Count a lost host as its worker's failure, where it never came or ended with an error.

    A host that left an empty room, one that ended with its process, and a full worker's refusal,
    are none.
    """
    outcome = fleet.outcome(spec)
    came = fleet.schedule.has_arrived(spec.room, spec.generation)
    is_failure = outcome == "failed" or (outcome is None and not came)
    if fleet.worker(spec.worker) is None or not is_failure:
        return 0.0
    return fleet.schedule.count_failure(spec.worker)


def reserve(fleet: Fleet, room: str, slots: int, hold_s: float) -> str | None:
    """Reserve slots for a room; return their worker, None where no worker has them.

    A room with a reservation keeps its worker, with more slots where they are free, and no shorter.
    Otherwise rooms that came before it are served first, and the emptiest worker is taken.
    """
    fleet.drop_reservations()
    own = fleet.reservation(room)
    free = fleet.free_by_worker(room)
    if own is not None and free.get(own.worker, -1) >= slots:
        chosen = own.worker
    elif _is_preceded(fleet, room, fleet.takers):
        return None
    else:
        enough = [worker for worker, count in free.items() if count >= slots]
        chosen = max(enough, key=lambda worker: free[worker], default=None)
    if chosen is None:
        return None
    until_s = max(fleet.schedule.now_s + hold_s, own.until_s if own else 0.0)
    fleet.schedule.update(
        room,
        reserved=Reservation(worker=chosen, slots=slots, until_s=until_s),
        queued_s=None,
        needs=0,
    )
    return chosen


def reserve_more(fleet: Fleet, room: str, slots: int, host: Heartbeat, hold_s: float) -> bool:
    """Reserve slots for personas that join a hosted room; return whether its worker has them."""
    free = fleet.free_by_worker().get(host.worker_id, 0)
    if _is_preceded(fleet, room, (host,)) or free < slots:
        return False
    now_s, old = fleet.schedule.now_s, fleet.schedule.room(room).more
    if old is not None and old.until_s > now_s and old.worker == host.worker_id:
        slots += old.slots
    more = Reservation(worker=host.worker_id, slots=slots, until_s=now_s + hold_s)
    fleet.schedule.update(room, more=more)
    return True


def _is_preceded(fleet: Fleet, room: str, workers: tuple[Heartbeat, ...]) -> bool:
    """Return whether a room before this one in the queue could have slots of these workers.

    A room that needs more slots than any of them has in all blocks no other.
    """
    largest = max((slots_of(worker) for worker in workers), default=0)
    queue = fleet.schedule.queue
    before = queue[: queue.index(room)] if room in queue else queue
    return any(fleet.schedule.room(each).needs <= largest for each in before)


def may_hold(fleet: Fleet, caller: Caller, room: str, slots: int, hold_s: float) -> bool:
    """Count a reservation as held by a caller; False: it would be more than the caller's share.

    One caller, and one address of strangers, holds no more than a share of all slots for people
    who have not come. Callers of this machine, which need no name, are not counted.
    """
    if caller.is_own:
        return True
    schedule, counted_as = fleet.schedule, caller.counted_as
    most = max(fleet.slots_total // (STRANGERS_SHARE if caller.is_stranger else SHARE), LEAST)
    holds = [entry.hold for name, entry in schedule.rooms.items() if name != room and entry.hold]
    others = sum(
        each.slots for each in holds if each.caller == counted_as and each.until_s > schedule.now_s
    )
    if others + slots > most and not (others == 0 and caller.is_named):
        return False
    counts_s = max(hold_s, REMEMBERED_S) if caller.is_stranger else hold_s
    until_s = schedule.now_s + counts_s
    schedule.update(room, hold=Hold(caller=counted_as, slots=slots, until_s=until_s))
    return True
