"""A person in a room with personas whose model follows a schedule."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from harness.person import WITHIN_S, Person, eventually, person
from harness.rooms import all_free, asking_for, in_talk, room_events
from harness.stack import Stack
from protocol import wire
from protocol.events import (
    Event,
    FloorEvent,
    SaidEvent,
    TranscriptEvent,
    WarningEvent,
)
from tests.worker.scripted.schedule import Schedule

EVERY_S = 0.1  # between two looks at the events
E = TypeVar("E", bound=Event)


@dataclass
class Scene:
    """A room with one person and some personas, and the room's events."""

    ann: Person
    stack: Stack
    schedule: Schedule

    async def events(self) -> list[Event]:
        """Return every event of the room so far."""
        return await room_events(self.stack, self.ann.room.name)

    async def changes(self) -> list[tuple[str, str]]:
        """Return the holder after each change of the floor (empty: none), with the reason."""
        events = await self.events()
        return [(each.persona, each.reason) for each in events if isinstance(each, FloorEvent)]

    async def read(self, persona: str) -> list[str]:
        """Return the texts of a persona's final segments."""
        return [
            each.text
            for each in await self.events()
            if isinstance(each, TranscriptEvent) and each.final and each.persona == persona
        ]

    async def reads(self, persona: str, *expected: str) -> None:
        """Wait until a persona's final segments are these: each ends after a pause."""
        deadline_s = time.monotonic() + WITHIN_S
        while len(read := await self.read(persona)) < len(expected):
            assert time.monotonic() < deadline_s, f"{persona} said only {read}"
            await asyncio.sleep(EVERY_S)
        assert read == list(expected)

    async def warned(self) -> WarningEvent:
        """Wait for the room's warning; return it."""
        return await self._event(WarningEvent, lambda _: True)

    async def said(self, line_id: str) -> SaidEvent:
        """Wait for the end of a line; return its event."""
        return await self._event(SaidEvent, lambda event: event.line_id == line_id)

    async def _event(self, kind: type[E], holds: Callable[[E], bool]) -> E:
        """Wait for an event of a kind that fulfils a condition; return it."""
        deadline_s = time.monotonic() + WITHIN_S
        while True:
            for each in await self.events():
                if isinstance(each, kind) and holds(each):
                    return each
            assert time.monotonic() < deadline_s, f"no {kind.__name__}"
            await asyncio.sleep(EVERY_S)

    async def changed(self, to: str, reason: str, times: int = 1) -> None:
        """Wait until the floor went to a persona (empty: to none) for a reason, so many times."""
        deadline_s = time.monotonic() + WITHIN_S
        while (changes := await self.changes()).count((to, reason)) < times:
            assert time.monotonic() < deadline_s, f"never {times} times {to or 'nobody'}: {changes}"
            await asyncio.sleep(EVERY_S)

    async def session(self) -> dict[str, Any]:
        """Return the session from the token service."""
        async with self._http() as http:
            [found] = (await http.get("/sessions", params={"room": self.ann.room.name})).json()
            return (await http.get(f"/sessions/{found['id']}")).json()

    async def post(self, path: str, persona: str, **asked: Any) -> httpx.Response:
        """Send a request about one persona, as an application does; return the answer."""
        session = await self.session()
        persona_id = next(each["id"] for each in session["personas"] if each["name"] == persona)
        asked["persona_id"] = persona_id
        async with self._http() as http:
            return await http.post(f"/sessions/{session['id']}/{path}", json=asked)

    async def say(self, persona: str, text: str) -> str:
        """Have a persona say a line; return the line's id."""
        answer = await self.post("say", persona, text=text)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer.json()["id"]

    async def moves(self) -> None:
        """Have the room moved to another worker, and wait until it is live there."""
        session = await self.session()
        async with self._http() as http:
            answer = await http.post(f"/sessions/{session['id']}/move")
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        deadline_s, moved = time.monotonic() + WITHIN_S, session["generation"] + 1
        while (now := await self.session())["generation"] != moved or now["state"] != "live":
            assert time.monotonic() < deadline_s, f"never moved: {now}"
            await asyncio.sleep(EVERY_S)

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.stack.url, trust_env=False, verify=False, timeout=20)

    def who(self, name: str) -> str:
        """Return a persona's identity."""
        return next(p.identity for p in self.ann.personas if p.attributes["persona"] == name)

    def floor_holders(self) -> set[str]:
        """Return the personas whose attribute says that they have the floor."""
        attributes = (p.attributes for p in self.ann.personas)
        return {each["persona"] for each in attributes if each.get(wire.ATTR_FLOOR) == "true"}

    def overlaps_s(self) -> float:
        """Return the longest time for which two personas were heard at once."""
        return max(self.ann.timeline.overlaps_s(self.ann.heard), default=0.0)


@asynccontextmanager
async def scene(
    stack: Stack, schedule: Schedule, *personas: str | dict[str, Any]
) -> AsyncGenerator[Scene]:
    """Open a room in which no persona wants to speak; wait at the end until its slots are free."""
    schedule.write({})
    async with person(stack.url, asking_for(*personas)) as ann:
        await in_talk(ann, len(personas))
        await eventually(lambda: len(ann.heard) == len(personas), "their voices are there")
        yield Scene(ann, stack, schedule)
    await all_free(stack)
