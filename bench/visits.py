"""Join and leave a running stack many times; count what is left behind. For `bench.soak`."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import api

from harness.census import Held, census, held_by
from harness.person import eventually, person
from harness.rooms import asking_for, in_talk, slots_used
from harness.stack import Stack

PERSONAS = ("chef", "astronaut")
SETTLE_S = 60.0  # LiveKit closes a room 20 s after the last one left
WITHIN_S = 60.0


@dataclass
class Visits:
    """The results."""

    asked: int
    there_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    took_s: float = 0.0
    worker_mib: list[float] = field(default_factory=list)
    slots_used: int = 0
    rooms_left: int = 0
    before: dict[str, Held] = field(default_factory=dict)
    after: dict[str, Held] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return a row: the visits, how quickly personas came, what is left behind."""
        there_s = self.there_s or [float("nan")]
        return {
            "visits": len(self.there_s),
            "failed": len(self.failed),
            "took s": round(self.took_s),
            "personas there p50 s": round(float(np.median(there_s)), 2),
            "p99 s": round(float(np.percentile(there_s, 99)), 2),
            "worker MiB by quarter": self.worker_mib,
            "slots used after": self.slots_used,
            "rooms after": self.rooms_left,
        }


async def visits(stack: Stack, count: int, at_once: int) -> Visits:
    """Make a number of visits, several at a time. The first ones fill caches."""
    await several(stack, Visits(at_once), at_once)
    await settled(stack, lambda: True)
    found = Visits(count, before=counted(stack))
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
    found.after = counted(stack)
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
                found.there_s.append(await visit(stack))
            except Exception as error:  # counted: one that fails says something, too
                found.failed.append(f"{type(error).__name__}: {error}")
            if turn % quarter == 0:
                found.worker_mib.append(census(stack)["worker"].rss_mib)
                print(f"{turn} visits, worker {found.worker_mib[-1]} MiB", flush=True)

    await asyncio.gather(*(one_way() for _ in range(at_once)))


async def visit(stack: Stack) -> float:
    """Join, hear two personas and leave; return the seconds until both were there."""
    begun_s = time.monotonic()
    async with person(stack.url, asking_for(*PERSONAS)) as ann:
        await in_talk(ann, len(PERSONAS))
        there_s = time.monotonic() - begun_s
        await eventually(lambda: len(ann.heard) == len(PERSONAS), "each is heard", WITHIN_S)
    return there_s


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
