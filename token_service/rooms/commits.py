"""Changes of rooms and of the schedule, written optimistically and together.

Every change reads the whole fleet and watches the schedule, so changes at the same moment would
undo each other: in one process they are decided one after another on one reading and written in one
step. A change that another process overtook is decided again; one that redis wrote before the
connection broke is not, or it would be made twice. No lock is held.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError, TimeoutError, WatchError

from protocol.room_spec import RoomSpec, spec_key
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import SCHEDULE_KEY
from token_service.refusals import SpecUnreadable

Decide = Callable[[RoomSpec | None, Fleet], tuple[RoomSpec | None, Any]]
Specs = dict[str, RoomSpec | None]  # by room


@dataclass(eq=False, slots=True)
class _Change:
    room: str
    decide: Decide
    made: asyncio.Future[Any]
    outcome: Any = field(default=None)  # of the latest decision: its result, or what it raised


class Commits:
    """Makes the changes of this process."""

    def __init__(
        self,
        redis: Redis,
        workers: FleetReader,
        read: Callable[[str | None], RoomSpec | None],
        write: Callable[[Pipeline, RoomSpec], None],
    ) -> None:
        """`read` parses a spec; `write` adds its writing to a pipeline."""
        self._redis, self._workers = redis, workers
        self._read, self._write = read, write
        self._waiting: list[_Change] = []
        self._writing: asyncio.Task[None] | None = None

    async def make(self, room: str, decide: Decide) -> Any:
        """Make one change; return the result of `decide`, or raise its error."""
        change = _Change(room, decide, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._make_all(), name="commits")
        return await change.made

    async def _make_all(self) -> None:
        while self._waiting:
            changes, self._waiting = self._waiting, []
            try:
                await self._commit(changes)
            except Exception as error:
                for each in changes:
                    each.outcome = error
            for each in changes:
                _tell(each)

    async def _commit(self, changes: list[_Change]) -> None:
        rooms = list({each.room for each in changes})
        written: Specs = {}  # maybe: its answer was lost
        async with self._redis.pipeline() as pipe:
            while True:
                try:
                    await pipe.watch(SCHEDULE_KEY, *map(spec_key, rooms))
                    texts: Any = await pipe.mget([spec_key(room) for room in rooms])
                    before = dict(zip(rooms, map(self._read, texts), strict=True))
                    if written and written.items() <= before.items():
                        return
                    present = {room for room, text in zip(rooms, texts, strict=True) if text}
                    unreadable = {room for room in present if before[room] is None}
                    decided = [each for each in changes if not _is_refused(each, unreadable)]
                    written = await self._decide_all(pipe, decided, before)
                    await pipe.execute()
                    return
                except WatchError as overtaken:
                    if not isinstance(overtaken.__context__, (ConnectionError, TimeoutError)):
                        written = {}

    async def _decide_all(self, pipe: Pipeline, changes: list[_Change], before: Specs) -> Specs:
        """Decide all changes and add their writing to the pipeline; return the changed specs."""
        fleet = await self._workers.fleet(pipe)
        after = dict(before)
        for each in changes:
            if not each.made.cancelled():
                _decide(each, after, fleet)
        fields, gone = fleet.schedule.changes()
        pipe.multi()
        if fields:
            mapping: dict[Any, Any] = {**fields}
            pipe.hset(SCHEDULE_KEY, mapping=mapping)
        if gone:
            pipe.hdel(SCHEDULE_KEY, *gone)
        changed = {room: spec for room, spec in after.items() if spec and spec != before[room]}
        for spec in changed.values():
            self._write(pipe, spec)
        return {**changed}


def _is_refused(change: _Change, unreadable: set[str]) -> bool:
    """Return whether a change must not be decided, and note why."""
    change.outcome = SpecUnreadable() if change.room in unreadable else None
    return change.outcome is not None


def _decide(change: _Change, specs: Specs, fleet: Fleet) -> None:
    """Decide one change; one that raises changes neither specs nor schedule."""
    kept = fleet.schedule.snapshot()
    try:
        spec, change.outcome = change.decide(specs[change.room], fleet)
    except Exception as error:
        fleet.schedule.restore(kept)
        change.outcome = error
    else:
        specs[change.room] = spec if spec is not None else specs[change.room]


def _tell(change: _Change) -> None:
    if change.made.done():
        return
    if isinstance(change.outcome, Exception):
        change.made.set_exception(change.outcome)
    else:
        change.made.set_result(change.outcome)
