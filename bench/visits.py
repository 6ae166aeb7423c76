"""Join and leave a running stack many times; count what is left behind. For `bench.soak`."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import api

from bench.visit_kinds import KINDS
from harness.census import Held, RedisHeld, census, held_by, held_by_redis
from harness.rooms import slots_used
from harness.stack import Stack

NOTHING = RedisHeld(0, {}, 0.0)
SETTLE_S = 60.0  # LiveKit closes a room 20 s after the last one left


@dataclass
class Visits:
    """The results."""

    asked: int
    there_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    took_s: float = 0.0
    quarters: list[dict[str, float]] = field(default_factory=list)  # MiB of each process
    slots_used: int = 0
    rooms_left: int = 0
    before: dict[str, Held] = field(default_factory=dict)
    after: dict[str, Held] = field(default_factory=dict)
    redis_before: RedisHeld = NOTHING
    redis_after: RedisHeld = NOTHING

    def summary(self) -> dict[str, Any]:
        """Return a row: the visits, how quickly personas came, what is left behind."""
        there_s = self.there_s or [float("nan")]
        return {
            "visits": len(self.there_s),
            "failed": len(self.failed),
            "took s": round(self.took_s),
            "personas there p50 s": round(float(np.median(there_s)), 2),
            "p99 s": round(float(np.percentile(there_s, 99)), 2),
            "slots used after": self.slots_used,
            "rooms after": self.rooms_left,
        }


async def visits(stack: Stack, count: int, at_once: int) -> Visits:
    """Make a number of visits, several at a time. The first ones fill caches."""
    await several(stack, Visits(len(KINDS) * at_once), at_once)
    await settled(stack, lambda: True)
    found = Visits(count, before=counted(stack), redis_before=held_by_redis(stack))
    begun_s = time.monotonic()
    await several(stack, found, at_once)
    found.took_s = time.monotonic() - begun_s

    def no_more() -> bool:
        now = counted(stack)
        return all(
            now[name].threads <= held.threads and now[name].descriptors <= held.descriptors
            for name, held in found.before.items()
        )

    await settled(stack, no_more)
    found.after, found.redis_after = counted(stack), held_by_redis(stack)
    found.slots_used = await slots_used(stack)
    found.rooms_left = len(await rooms(stack))
    for reason in found.failed:
        print(f"failed: {reason}")
    return found


def counted(stack: Stack) -> dict[str, Held]:
    """Count every process of the stack, and this one, which has the people."""
    return census(stack) | {"people": held_by(os.getpid())}


async def several(stack: Stack, found: Visits, at_once: int) -> None:
    """Make visits one after another, in several tasks."""
    turns = iter(range(1, found.asked + 1))
    quarter = max(found.asked // 4, 1)

    async def one_way() -> None:
        for turn in turns:
            try:
                found.there_s.append(await KINDS[turn % len(KINDS)](stack))
            except Exception as error:  # counted: one that fails says something, too
                kind = KINDS[turn % len(KINDS)].__name__
                found.failed.append(f"{kind}: {type(error).__name__}: {error}")
            if turn % quarter == 0:
                found.quarters.append({n: held.rss_mib for n, held in counted(stack).items()})
                print(f"{turn} visits, MiB: {found.quarters[-1]}", flush=True)

    await asyncio.gather(*(one_way() for _ in range(at_once)))


async def rooms(stack: Stack) -> list[str]:
    """Return LiveKit's rooms."""
    asked = api.ListRoomsRequest()  # pyright: ignore[reportPrivateImportUsage]
    async with stack.livekit.client() as livekit:
        return [room.name for room in (await livekit.room.list_rooms(asked)).rooms]


async def settled(stack: Stack, holds: Callable[[], bool]) -> None:
    """Wait until no slot and no room is left and a condition holds, or for a time."""
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        if not await slots_used(stack) and not await rooms(stack) and holds():
            return
        await asyncio.sleep(0.5)
