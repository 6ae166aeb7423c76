"""`python -m mind`: talk with a persona's mind from a terminal, without a room or a voice."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from mind.events import MindEvent, Say, ToolEnded, Trouble
from mind.minds import Minds
from mind.room import RoomMind
from protocol.config.log import configure_logging
from protocol.config.settings import load_settings
from protocol.errors import InvalidInput
from protocol.minds import load_minds
from protocol.personas import read_persona
from protocol.room_spec import PersonaSpec

LOADS_S = 2.0  # a model that is there has answered by then
LOADS = "  · the language model is not there yet; its server may be loading it"
TO_VOICE = "(leaves the answer to the voice)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask each question in turn, and print what the persona would say."""
    asked = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.model_copy(update={"log_level": "warning"}))
        path = _persona_file(asked.persona, settings.personas_dir)
        persona = PersonaSpec(**dict(read_persona(path)), id="p1")
        if not persona.mind:
            raise InvalidInput(f"{path.name}: has no mind")
        defining = path.with_name(f"{persona.mind}.toml")
        minds = load_minds([defining])
        if not minds:
            named = f"{path.name}: mind={persona.mind!r}"
            raise InvalidInput(f"{named}: {defining.name} has no table [mind]")
        asyncio.run(_talk(Minds(minds, settings), persona, asked.name, asked.question))
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mind", description=__doc__)
    parser.add_argument("--persona", required=True, help="a persona's name, or its TOML file")
    parser.add_argument("--name", default="Ann", help="your name in the transcript")
    parser.add_argument("question", nargs="+", help="what you say, one turn each")
    return parser


def _persona_file(name: str, folder: Path) -> Path:
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        raise InvalidInput(f"{path}: is no file; expected a persona's name or its TOML file")
    return path


async def _talk(minds: Minds, persona: PersonaSpec, name: str, questions: Sequence[str]) -> None:
    async with minds:
        await minds.ready()
        room = minds.open_room([persona])
        screen = _Screen(room, persona)
        await _model_loaded(minds)
        reading = asyncio.create_task(screen.show())
        for question in questions:
            print(f"{name}: {question}")
            room.typed(name, question)
            await screen.answered()
        await room.aclose()
        await reading


async def _model_loaded(minds: Minds) -> None:
    waking = asyncio.create_task(minds.awake())
    if not (await asyncio.wait([waking], timeout=LOADS_S))[0]:
        print(LOADS, flush=True)
    await waking


class _Screen:
    """Prints a room's events; stands for the voice, which says each line at once."""

    def __init__(self, room: RoomMind, persona: PersonaSpec) -> None:
        self._room = room
        self._persona = persona
        self._said = False

    async def show(self) -> None:
        async for event in self._room.events():
            self._print(event)

    async def answered(self) -> None:
        """Wait for the end of an answer; say so where it has no words."""
        self._said = False
        await self._room.settle()
        if not self._said:
            print(TO_VOICE)

    def _print(self, event: MindEvent) -> None:
        if isinstance(event, Say):
            self._said = True
            print(f"{self._persona.label}: {event.sentence}")
            self._room.persona_said(event.persona_id, event.sentence)
            self._room.line_ended(event.line_id, "said")
        elif isinstance(event, ToolEnded):
            outcome = "" if event.ok else " · failed"
            print(f"  · {event.tool} · {event.took_ms / 1000:.1f} s{outcome}")
        elif isinstance(event, Trouble):
            print(f"  ! {event.detail}")


if __name__ == "__main__":
    raise SystemExit(main())
