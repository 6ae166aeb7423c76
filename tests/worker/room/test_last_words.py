"""The words that are recognised after their host has stopped; stand-ins replace the room."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from protocol.events import Event, TranscriptEvent
from worker.hearing.recogniser import HeardWords, OnEnd, OnWords
from worker.room.people_words import PeopleWords
from worker.sound.ears import Microphone

SOUND = np.full(3840, 0.1, dtype=np.float32)
LATE_S = 0.3


class LateRecogniser:
    """Gives the words some time after the listening was closed, or never ends."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends

    def open(self, on_words: OnWords, _: str, on_end: OnEnd) -> Any:
        def give() -> None:
            time.sleep(LATE_S)
            on_words(HeardWords("SG_1", "One more thing.", True, 0.0, 0.5))
            if self._ends:
                on_end()

        return SimpleNamespace(
            push=lambda _: None, close=lambda: threading.Thread(target=give).start()
        )


async def words_at_the_end(*, ends: bool, within_s: float) -> tuple[list[str], float]:
    """Let a person speak and the host stop; return the words told, and how long it took."""
    told: list[Event] = []
    room: Any = SimpleNamespace(
        remote_participants={"ann": None}, on=lambda *_: None, local_participant=SimpleNamespace()
    )
    recogniser: Any = LateRecogniser(ends=ends)
    words = PeopleWords(room, recogniser, told.append, lambda _: None)
    words.tick({Microphone("ann", "TR_1"): SOUND})
    begun_s = time.monotonic()
    await words.aclose(within_s)
    took_s = time.monotonic() - begun_s
    said = [each.text for each in told if isinstance(each, TranscriptEvent)]
    await asyncio.sleep(2 * LATE_S)
    return said, took_s


async def test_the_last_words_before_a_move_are_waited_for() -> None:
    """What a person said just before the room moved is told, and no longer waited for."""
    said, took_s = await words_at_the_end(ends=True, within_s=5.0)
    assert said == ["One more thing."] and took_s < 3.0


async def test_last_words_are_waited_for_as_long_as_allowed() -> None:
    """A recogniser that does not end keeps no host; without a time nothing is waited for."""
    said, took_s = await words_at_the_end(ends=False, within_s=2 * LATE_S)
    assert said == ["One more thing."] and took_s < 3.0
    assert (await words_at_the_end(ends=True, within_s=0.0))[0] == []
