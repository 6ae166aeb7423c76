"""Two people and six personas in one room; `bench/soak.py` runs such a room for hours."""

import asyncio

from harness.census import rss_mib
from harness.person import Person, eventually, person
from harness.recordings import speech
from harness.rooms import PORTER, SIX
from harness.stack import Stack
from tests.worker.scenes import scene
from tests.worker.scripted.schedule import Schedule, SpeechPlan

OVERLAP_MOST_S = 0.2
MEMORY_MOST_MIB = 8 * 1024
SPEECH = "soup"
EVERY_S = 4.0


def logged(stack: Stack) -> str:
    """Return the logs of all processes."""
    return "".join(log.read_text(errors="replace") for log in stack.folder.glob("*.log"))


async def speak_now_and_then(who: Person) -> None:
    """Speak every few seconds: after some turns among themselves personas wait for a person."""
    while True:
        who.speech = speech(1.0)
        await asyncio.sleep(EVERY_S)


async def test_two_people_and_six_personas(
    scripted: Stack, schedule: Schedule, measured: list[str]
) -> None:
    """Each persona is heard, one at a time, with transcripts under its own name, in 8 GiB.

    No speech, prompt or secret is in a log.
    """
    async with scene(scripted, schedule, *SIX) as opened:
        ann = opened.ann
        names = {p.identity: p.attributes["persona"] for p in ann.personas}
        async with person(scripted.url, {"room_name": ann.room.name}) as bob:
            await eventually(lambda: len(ann.heard) == len(SIX) + 1, "all voices are there")
            plan = SpeechPlan(speaks=8, rest=60, word=SPEECH)
            schedule.write(dict.fromkeys(names.values(), plan))
            bob.spawn(speak_now_and_then(bob))
            await eventually(
                lambda: all(ann.timeline.spoke_s(who) > 0.5 for who in names), "each is heard", 60
            )
            await eventually(lambda: {m.identity for m in ann.messages} == set(names), "lines")
            memory_mib = rss_mib(scripted)
        longest_s = max(ann.timeline.overlaps_s(names), default=0.0)
        measured.append(
            f"six personas: two at once for at most {longest_s * 1000:.0f} ms, "
            f"{memory_mib:.0f} MiB resident in all processes"
        )

        assert longest_s <= OVERLAP_MOST_S
        assert memory_mib < MEMORY_MOST_MIB
        assert all(m.persona == names[m.identity] and m.text for m in ann.messages)
        assert {w.identity for w in ann.words} <= set(names)
    secrets = {f"{SPEECH} {SPEECH}", PORTER["prompt"], scripted.livekit.api_secret}

    assert not [secret for secret in secrets if secret in logged(scripted)]
