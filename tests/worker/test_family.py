"""Two people and six personas in one room, with the built-in model. Long: the soak."""

from collections.abc import Generator

import pytest

from protocol import wire
from tests.babble import babble
from tests.person import Person, eventually, person
from tests.stack import Stack, start_stack
from tests.worker.rooms import all_free, asking_for, in_talk

PORTER = {"name": "porter", "label": "Porter", "prompt": "You are a night porter."}
SIX = ("assistant", "astronaut", "chef", "customer_service", "teacher", PORTER)
OVERLAP_MOST_S = 0.2
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product with the built-in model, which talks."""
    with start_stack(
        tmp_path_factory.mktemp("family"), model="builtin", capacity=len(SIX)
    ) as stack:
        yield stack


async def each_speaks(ann: Person) -> None:
    """Address the personas one after another, each until it has been heard."""
    for persona in ann.personas:
        if ann.timeline.spoke_s(persona.identity) < 0.5:
            await ann.room.local_participant.send_text(
                f"{persona.name}, what do you say?", topic=wire.CHAT_TOPIC
            )
        await eventually(
            lambda who=persona.identity: ann.timeline.spoke_s(who) > 0.5,
            f"{persona.name} is heard",
            WITHIN_S,
        )


async def test_two_people_and_six_personas(talk: Stack, measured: list[str]) -> None:
    """Each persona is heard, never two at once, and each line of the transcript names its own."""
    request = asking_for(*SIX) | {"room_name": "family"}
    async with person(talk.url, request) as ann, person(talk.url, {"room_name": "family"}) as bob:
        await in_talk(ann, len(SIX))
        await eventually(lambda: len(ann.heard) == len(SIX) + 1, "all voices are there")
        bob.speech = babble(1.0)
        await each_speaks(ann)
        names = {p.identity: p.attributes["persona"] for p in ann.personas}
        await eventually(lambda: {m.identity for m in ann.messages} == set(names), "their lines")
        longest_s = max(ann.timeline.overlaps_s(names), default=0.0)
        measured.append(f"six personas: two at once for at most {longest_s * 1000:.0f} ms")

        assert longest_s <= OVERLAP_MOST_S
        assert all(m.persona == names[m.identity] and m.text for m in ann.messages)
        assert {w.identity for w in ann.words} <= set(names)
    await all_free(talk)
