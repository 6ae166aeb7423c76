"""A room with a mind, a scripted model over real HTTP, and a stand-in for the room's host."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from harness.language_model import ScriptedModel, scripted_model
from harness.servers import GivenSettings
from mind.events import MindEvent, Say, ToolEnded, Trouble, Withdraw
from mind.limits import Limits
from mind.minds import Minds
from mind.room import RoomMind
from protocol.config.settings import Settings
from protocol.minds import Mind, read_mind
from protocol.room_spec import PersonaSpec

KEY = "sk-a-key-that-must-not-show"
CHEF = PersonaSpec(id="p1", name="chef", label="Chef", prompt="You cook.", mind="chef")
WITHIN_S = 30.0  # machines that run tests are busy
PATIENT = {"tool_connect_s": WITHIN_S, "tool_wait_s": WITHIN_S}


class Host:
    """Stands in for a room's host: takes events, and says each line at once unless it is slow."""

    def __init__(self, minds: Minds, mind: RoomMind, *, slow: bool = False) -> None:
        self.minds = minds
        self.mind = mind
        self.events: list[MindEvent] = []
        self.slow = slow
        self.news = asyncio.Event()

    async def serve(self) -> None:
        """Take events until the room is closed."""
        async for event in self.mind.events():
            self.events.append(event)
            self.news.set()
            if isinstance(event, Say) and not self.slow:
                self.mind.persona_said(event.persona_id, event.sentence)
                self.mind.line_ended(event.line_id, "said")

    async def until(self, seen: Callable[[], object]) -> None:
        """Wait until `seen` holds for the events."""
        async with asyncio.timeout(WITHIN_S):
            while not seen():
                self.news.clear()
                await self.news.wait()

    async def ask(self, words: str, person: str = "Ann") -> None:
        """Let a person say something; wait until the mind has dealt with it."""
        self.mind.heard(person, words, final=True)
        async with asyncio.timeout(WITHIN_S):
            await self.mind.settle()

    @property
    def lines(self) -> list[Say]:
        """Return the lines that the mind gave."""
        return [event for event in self.events if isinstance(event, Say)]

    @property
    def sentences(self) -> list[str]:
        """Return the lines' sentences."""
        return [line.sentence for line in self.lines]

    @property
    def troubles(self) -> list[str]:
        """Return the codes of the warnings."""
        return [event.code for event in self.events if isinstance(event, Trouble)]

    @property
    def tools(self) -> list[tuple[str, bool]]:
        """Return the tool calls that ended: name, and whether they worked."""
        return [(each.tool, each.ok) for each in self.events if isinstance(each, ToolEnded)]

    @property
    def withdrawn(self) -> set[str]:
        """Return the ids of the withdrawn lines."""
        return {
            line_id
            for event in self.events
            if isinstance(event, Withdraw)
            for line_id in event.line_ids
        }


Open = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    """Run a scripted model behind a real endpoint."""
    async with scripted_model() as running:
        yield running


def settings_of(url: str | None, **given: Any) -> Settings:
    """Return the settings of minds with a model at a URL."""
    return GivenSettings(mind_url=url, mind_model="scripted", mind_api_key=SecretStr(KEY), **given)


def chat(*tools: dict[str, Any], **fields: Any) -> Mind:
    """Return a mind of kind `chat`."""
    return read_mind({"kind": "chat", "tools": tools, **fields}, "test")


@pytest.fixture
def open_room(model: ScriptedModel) -> Open:
    """Return a function that opens a room with minds: `async with open_room(chat(…)) as host`."""

    @asynccontextmanager
    async def make(
        mind: Mind | None = None,
        *,
        personas: Sequence[PersonaSpec] = (CHEF,),
        minds: dict[str, Mind] | None = None,
        url: str | None = None,
        slow: bool = False,
        **limits: Any,
    ) -> AsyncIterator[Host]:
        tables = minds or {"chef": mind or chat()}
        running = Minds(tables, settings_of(url or model.url), Limits(**(PATIENT | limits)))
        async with running:
            await running.ready()
            host = Host(running, running.open_room(personas), slow=slow)
            serving = asyncio.create_task(host.serve())
            yield host
            await host.mind.aclose()
            await serving

    return make
