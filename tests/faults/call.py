"""A call during a fault: its participants, the voices that are heard, duplicates of a persona."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from harness.person import Person, eventually, person
from harness.rooms import asking_for
from harness.servers import HTTP
from protocol import wire
from tests.faults.cluster import Cluster

TONE_HZ = 500.0
PERSONAS = ("chef", "astronaut")
WITHIN_S = 90.0  # the machine is busy


async def poll_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition whose check is expensive."""
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - redis and HTTP send no event
            await asyncio.sleep(0.3)


@dataclass
class Call:
    """Ann, who says a tone all the time, and the personas that echo it."""

    ann: Person
    url: str
    most_at_once: dict[str, int] = field(default_factory=dict[str, int])  # by persona id

    @property
    def room(self) -> str:
        """Return the room's name."""
        return self.ann.room.name

    @property
    def identities(self) -> set[str]:
        """Return the identities of the personas' participants, as Ann sees them."""
        return {each.identity for each in self.ann.personas}

    @property
    def generations(self) -> set[str]:
        """Return the generations of the hosts that they belong to."""
        return {each.attributes[wire.ATTR_GENERATION] for each in self.ann.personas}

    def watch(self) -> None:
        """Count each persona's participants from now on."""
        self.ann.room.on("participant_connected", lambda _: self._count())
        self._count()

    def _count(self) -> None:
        ids = [each.attributes[wire.ATTR_PERSONA_ID] for each in self.ann.personas]
        for persona_id in ids:
            most = self.most_at_once.get(persona_id, 0)
            self.most_at_once[persona_id] = max(most, ids.count(persona_id))

    def told(self) -> dict[str, Any]:
        """Return the session of this room from the token service; nothing while that is away."""
        try:
            sessions = f"{self.url}/sessions"
            listed: list[dict[str, Any]] = HTTP.get(sessions, timeout=10.0).json()
            ids = [each["id"] for each in listed if each["room"] == self.room]
            return HTTP.get(f"{sessions}/{ids[0]}", timeout=10.0).json() if ids else {}
        except httpx.HTTPError:
            return {}

    async def is_live(self) -> None:
        """Wait until the session of this room is live."""
        await eventually(lambda: self.told().get("state") == "live", "it is live", WITHIN_S)

    def is_heard(self, identity: str) -> bool:
        """Return whether Ann hears her tone from a participant."""
        loud = self.ann.rms(identity) > 0.05
        return loud and abs(self.ann.loudest_hz(identity) - TONE_HZ) < 5.0

    async def hears_all(self, personas: int, without: Set[str] = frozenset()) -> None:
        """Wait until `personas` personas are heard, from now on and without those in `without`."""
        for chunks in self.ann.heard.values():
            chunks.clear()

        def heard() -> bool:
            there = self.identities - without
            return len(there) == personas and all(self.is_heard(each) for each in there)

        await eventually(heard, f"{personas} personas are heard", WITHIN_S)


@asynccontextmanager
async def calling(cluster: Cluster, *personas: str, **asked: Any) -> AsyncGenerator[Call]:
    """Run a call in which every persona is heard; `asked` has further fields of the request."""
    async with person(cluster.url, asking_for(*personas, **asked)) as ann:
        ann.tone_hz = TONE_HZ
        call = Call(ann, cluster.url)
        call.watch()
        await call.hears_all(len(personas))
        yield call
