"""Which typed lines of people are taken, and how."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from worker.room import chat
from worker.room.chat import LINE_CHARACTERS, TOO_LONG, Chat


async def taken(
    monkeypatch: pytest.MonkeyPatch, *typed: str | None, answers: list[str] | None = None
) -> list[str]:
    """Return the lines that a room takes of these that a person types; note its `answers`."""
    lines: list[str] = []

    async def send_text(text: str, topic: str) -> None:
        if answers is not None:
            answers.append(text)

    room: Any = SimpleNamespace(
        name="kitchen",
        on=lambda *_: None,
        isconnected=lambda: True,
        local_participant=SimpleNamespace(send_text=send_text),
    )
    deaf: Any = SimpleNamespace(add_room=lambda *_: None)
    monkeypatch.setattr(chat, "native_events", lambda: deaf)
    opened: Any = Chat(room, lambda _, line: lines.append(line), lambda _: asyncio.sleep(0), deaf)
    for text in typed:

        async def read(_: int, text: str | None = text) -> str | None:
            return text

        monkeypatch.setattr(chat, "read_text", read)
        await opened._read("ann", 1)
    await asyncio.sleep(0)
    opened.close()
    return lines


async def test_a_blank_line_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of spaces, line ends and control characters alone are no turns."""
    assert await taken(monkeypatch, "", "   ", " \n\t\r\n", "\x00\x1b", "\u202e") == []


async def test_a_line_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line loses control characters, marks of direction and the space around it."""
    lines = await taken(monkeypatch, " Hi,\r\nchef\x1b[31m! \U0001f44d\n", "a\u202eb\x00c")

    assert lines == ["Hi,\nchef[31m! \U0001f44d", "abc"]


async def test_a_line_that_is_too_long_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has at most `LINE_CHARACTERS`, those included that are removed; a longer one is told.

    One that the native library does not read (None) is longer still.
    """
    answers: list[str] = []
    typed = "a" * LINE_CHARACTERS, "a" * LINE_CHARACTERS + " ", None
    lines = await taken(monkeypatch, *typed, answers=answers)

    assert [len(each) for each in lines] == [LINE_CHARACTERS]
    assert answers == [TOO_LONG, TOO_LONG]
