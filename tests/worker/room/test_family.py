"""Two people and six personas in one room, with the talker. Long: `bench/soak.py`."""

from contextlib import suppress

from harness.babble import babble
from harness.census import rss_mib
from harness.person import Person, eventually, person
from harness.stack import Stack
from protocol import wire
from tests.worker.rooms import PORTER, SIX, all_free, asking_for, in_talk

OVERLAP_MOST_S = 0.2
A_WORD = 15  # characters: a shorter line may be in a log by chance
MEMORY_MOST_MIB = 8 * 1024
ASKED_TIMES, ANSWERS_WITHIN_S = 6, 10.0


async def each_speaks(ann: Person) -> None:
    """Address the personas one after another, each until it has been heard.

    Who does not want to speak when it is asked is asked again: the others may have talked their
    turns among themselves meanwhile, and then all wait for a person.
    """
    for persona in ann.personas:

        def heard(who: str = persona.identity) -> bool:
            return ann.timeline.spoke_s(who) > 0.5

        for _ in range(ASKED_TIMES):
            if heard():
                break
            await ann.room.local_participant.send_text(
                f"{persona.name}, what do you say?", topic=wire.CHAT_TOPIC
            )
            with suppress(TimeoutError):
                await eventually(heard, "an answer", ANSWERS_WITHIN_S)
        assert heard(), f"{persona.name} was not heard"


def logged(stack: Stack) -> str:
    """Everything that its processes have logged."""
    return "".join(log.read_text(errors="replace") for log in stack.folder.glob("*.log"))


async def test_two_people_and_six_personas(talk: Stack, measured: list[str]) -> None:
    """Each is heard, never two at once, each line of the transcript names its own, in 8 GB.

    Nothing of what was said, and no prompt, is in a log.
    """
    request = asking_for(*SIX) | {"room_name": "family"}
    async with person(talk.url, request) as ann, person(talk.url, {"room_name": "family"}) as bob:
        await in_talk(ann, len(SIX))
        await eventually(lambda: len(ann.heard) == len(SIX) + 1, "all voices are there")
        bob.speech = babble(1.0)
        await each_speaks(ann)
        names = {p.identity: p.attributes["persona"] for p in ann.personas}
        await eventually(lambda: {m.identity for m in ann.messages} == set(names), "their lines")
        longest_s = max(ann.timeline.overlaps_s(names), default=0.0)
        memory_mib = rss_mib(talk)
        measured.append(
            f"six personas: two at once for at most {longest_s * 1000:.0f} ms, "
            f"{memory_mib:.0f} MiB resident in all processes"
        )

        assert longest_s <= OVERLAP_MOST_S
        assert memory_mib < MEMORY_MOST_MIB
        assert all(m.persona == names[m.identity] and m.text for m in ann.messages)
        assert {w.identity for w in ann.words} <= set(names)
    await all_free(talk)
    spoken = {message.text for message in ann.messages if len(message.text) > A_WORD}
    secrets = spoken | {PORTER["prompt"], talk.livekit.api_secret}

    assert not [secret for secret in secrets if secret in logged(talk)]
