"""The product with minds: personas of the examples, an MCP server, a scripted language model."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from livekit import rtc

from harness.language_model import ScriptedModel, scripted_model
from harness.person import WITHIN_S, eventually
from protocol import wire
from protocol.events import Event, TranscriptEvent, WarningEvent, read_event
from tests.worker.mind.stack import MindStack, start_minded
from tests.worker.scenes import Scene, scene

PLAIN = {"name": "plain", "label": "Pat", "prompt": "You are plain."}  # without a mind


@pytest.fixture(scope="package")
def minded(tmp_path_factory: pytest.TempPathFactory) -> Generator[MindStack]:
    """Start the product with minds."""
    with start_minded(tmp_path_factory.mktemp("minded")) as running:
        yield running


@pytest.fixture
async def model(minded: MindStack) -> AsyncGenerator[ScriptedModel]:
    """Run the language model at the address that the worker asks."""
    async with scripted_model(minded.model_port) as running:
        yield running


@dataclass
class Talk:
    """A room with one person and personas that have minds, and the room's events."""

    scene: Scene
    messages: list[Event] = field(default_factory=list[Event])  # data that clients get

    async def type(self, text: str) -> None:
        """Type a line into the chat."""
        await self.scene.ann.room.local_participant.send_text(text, topic=wire.CHAT_TOPIC)

    async def turns(self) -> list[tuple[str, str]]:
        """Return the transcript's final turns: a persona's name, `typed` or `spoken`; the words."""
        return [
            (each.persona or f"{'typed' if each.typed else 'spoken'}", each.text)
            for each in await self.scene.events()
            if isinstance(each, TranscriptEvent) and each.final
        ]

    async def until(self, holds: Callable[[list[Event]], object], what: str) -> list[Event]:
        """Wait until the events fulfil a condition; return them."""
        deadline_s = time.monotonic() + WITHIN_S
        while not holds(events := await self.scene.events()):
            assert time.monotonic() < deadline_s, f"never: {what}: {events}"
            await asyncio.sleep(0.05)
        return events

    async def warnings(self) -> list[str]:
        """Return the codes of the warnings so far."""
        return [e.code for e in await self.scene.events() if isinstance(e, WarningEvent)]

    async def chat_says(self, text: str) -> None:
        """Wait until a persona has written a line into the chat."""
        chat = self.scene.ann.chat
        await eventually(lambda: text in [line for _, line in chat], f"{text!r} in {chat}")


@asynccontextmanager
async def talk(minded: MindStack, *personas: str | dict[str, str]) -> AsyncGenerator[Talk]:
    """Open a room with one person and these personas; none of them speaks by itself."""
    async with scene(minded.stack, minded.schedule, *personas) as opened:
        there = Talk(opened)

        def take(packet: rtc.DataPacket) -> None:
            if packet.topic == wire.MIND_TOPIC:
                there.messages.append(read_event(packet.data))

        opened.ann.room.on("data_received", take)
        yield there
