"""Two people and six personas in one room. For long, with a model that talks: `bench/soak.py`."""

import asyncio

from harness.babble import babble
from harness.census import rss_mib
from harness.person import Person, eventually, person
from harness.stack import Stack
from tests.worker.rooms import PORTER, SIX
from tests.worker.scenes import scene
from tests.worker.scripted.schedule import Schedule, Wish

OVERLAP_MOST_S = 0.2
MEMORY_MOST_MIB = 8 * 1024
SPEECH = "soup"
EVERY_S = 4.0


def logged(stack: Stack) -> str:
    """Return everything that the processes have logged."""
    return "".join(log.read_text(errors="replace") for log in stack.folder.glob("*.log"))


async def says_something_now_and_then(who: Person) -> None:
    """Give the personas new turns: after some among themselves they wait for a person."""
    while True:
        who.speech = babble(1.0)
        await asyncio.sleep(EVERY_S)


async def test_two_people_and_six_personas(
    scripted: Stack, schedule: Schedule, measured: list[str]
) -> None:
    """Each is heard, never two at once, each line of the transcript names its own, in 8 GB.

    Nothing of what was said, and no prompt, is in a log.
    """
    async with scene(scripted, schedule, *SIX) as opened:
        ann = opened.ann
        names = {p.identity: p.attributes["persona"] for p in ann.personas}
        async with person(scripted.url, {"room_name": ann.room.name}) as bob:
            await eventually(lambda: len(ann.heard) == len(SIX) + 1, "all voices are there")
            wish = Wish(speaks=8, rest=60, word=SPEECH)
            schedule.write(dict.fromkeys(names.values(), wish))
            bob.spawn(says_something_now_and_then(bob))
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
