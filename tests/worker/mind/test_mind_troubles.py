"""A mind that fails disturbs no conversation: the voice goes on, and the room gets one warning.

By the two ways in which it could take time from the room; `tests/mind/test_troubles.py` has all.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from harness.language_model import Reply, hang, raw, says, scripted_model
from harness.person import eventually
from protocol.events import Event, MindSaidEvent, WarningEvent
from tests.mind.test_troubles import CHUNK
from tests.worker.mind.conftest import Talk, talk
from tests.worker.mind.stack import KEY, MindStack
from tests.worker.scripted.schedule import SpeechPlan

ANSWER = "Dinner is ready."
TROUBLES: dict[str, tuple[Reply, str]] = {
    "hangs": (hang, "mind_slow"),
    "floods": (raw(CHUNK * 100, forever=True), "mind_flood"),
}


def warned(events: Sequence[Event]) -> list[str]:
    """Return the codes of the warnings."""
    return [each.code for each in events if isinstance(each, WarningEvent)]


async def answered(room: Talk) -> None:
    """Type until the mind answers: after a failure it is not asked for 2 s.

    Not too soon again: a new line withdraws an answer that has not been said.
    """
    while True:
        await room.type("Is dinner ready?")
        with suppress(TimeoutError):
            async with asyncio.timeout(4.0):
                await room.until(
                    lambda events: any(
                        isinstance(each, MindSaidEvent) and each.text == ANSWER for each in events
                    ),
                    "it answers again",
                )
            return


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_mind_that_fails_disturbs_no_conversation(minded: MindStack, trouble: str) -> None:
    """The voice goes on, the room gets one warning, and the mind answers again later."""
    reply, code = TROUBLES[trouble]
    async with talk(minded, "shop") as room:
        async with scripted_model(minded.model_port) as model:
            model.otherwise = lambda _: reply
            minded.schedule.write({"shop": SpeechPlan(speaks=6, rest=6)})
            shop, timeline = room.scene.who("shop"), room.scene.ann.timeline
            for question in ("Is dinner ready?", "Is it?", "Is it now?"):
                await room.type(question)
            await room.until(lambda events: code in warned(events), f"the warning {code}")
            before_s = timeline.spoke_s(shop)
            await eventually(lambda: timeline.spoke_s(shop) - before_s > 0.5, "the voice goes on")
            events = await room.scene.events()
            assert warned(events) == [code]
            assert KEY not in str(events)
        minded.schedule.write({})
        async with scripted_model(minded.model_port) as model:
            model.otherwise = lambda _: says(ANSWER)
            await answered(room)
