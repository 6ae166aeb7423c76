"""Lines over HTTP in a real room: said whole or not at all, whoever else wants to speak."""

import asyncio
from collections.abc import Generator

import httpx
import pytest

from harness.babble import babble
from harness.person import eventually, person
from harness.stack import Stack, start_stack
from protocol.personas import GREETING
from tests.worker.rooms import all_free, asking_for
from tests.worker.scenes import Scene, scene
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, Wish

LINE, NEXT_LINE = "Dinner is ready. We have soup and bread.", "We have bread."
LONG_LINE = " ".join([LINE] * 8)  # 20 s: a busy machine cuts it off late, too
OVERLAP_MOST_S = 0.2
GREETER = {"greeting": True}


async def test_a_line_is_said_whole_before_others_speak(
    scripted: Stack, schedule: Schedule
) -> None:
    """It lasts longer than the floor may be held, its words are apart, others want to speak."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        line = await room.say("chef", LINE)
        schedule.write({"astronaut": Wish(speaks=6, rest=3)})
        said = await room.said(line)
        await room.changed("astronaut", "wanted")
        await eventually(lambda: room.ann.timeline.spoke_s(room.who("astronaut")) > 0.2, "it does")

        assert (said.whole, said.persona) == (True, "chef")
        await room.reads("chef", LINE)
        assert [to for to, _ in await room.changes()][:1] == ["chef"]
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_a_line_is_taken_as_soon_as_a_persona_is_seen(
    scripted: Stack, schedule: Schedule
) -> None:
    """The host keeps a command until all personas have joined."""
    schedule.write({})
    async with person(scripted.url, asking_for("chef", "astronaut")) as ann:
        await eventually(lambda: bool(ann.personas), "the first persona joins")
        room = Scene(ann, scripted, schedule)
        said = await room.said(await room.say("chef", NEXT_LINE))

        assert said.whole
    await all_free(scripted)


async def test_a_line_waits_for_the_end_of_anothers(scripted: Stack, schedule: Schedule) -> None:
    """Two personas told to speak at once say their lines one after the other, both whole."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        lines = [await room.say(who, LINE) for who in ("chef", "astronaut")]
        ends = [await room.said(line) for line in lines]

        assert [end.whole for end in ends] == [True, True]
        for who in ("chef", "astronaut"):
            await room.reads(who, LINE)
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_greetings_of_three_are_whole(scripted: Stack, schedule: Schedule) -> None:
    """Each greets once and whole while the others want to greet, too."""
    trio = [GREETER | {"name": name} for name in ("chef", "astronaut", "teacher")]
    async with scene(scripted, schedule, *trio) as room:
        for who in ("chef", "astronaut", "teacher"):
            await room.changed(who, "line")
        for who in ("chef", "astronaut", "teacher"):
            await room.reads(who, GREETING)
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def cut_off(room: Scene, line: str) -> str:
    """Wait until a line was cut off; what was said of it."""
    assert not (await room.said(line)).whole
    while not await room.read("chef"):  # noqa: ASYNC110 - it sends no event
        await asyncio.sleep(0.05)
    [fragment] = await room.read("chef")
    assert LONG_LINE.startswith(fragment)
    return fragment


async def test_what_a_person_cuts_off_is_not_finished_later(
    scripted: Stack, schedule: Schedule
) -> None:
    """The persona is silent while the person speaks, and then says the next line and no rest."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        room.ann.speech = babble(30.0, pauses=False)
        line = await room.say("chef", LONG_LINE)
        next_line = await room.say("chef", NEXT_LINE)
        fragment = await cut_off(room, line)
        room.ann.speech = None
        said = await room.said(next_line)

        assert said.whole
        await room.reads("chef", fragment, NEXT_LINE)


async def test_what_a_mute_cuts_off_is_not_finished_later(
    scripted: Stack, schedule: Schedule
) -> None:
    """Nor is what waited said once it may be heard again; while it is muted it takes no line."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        lines = [await room.say("chef", text) for text in (LONG_LINE, NEXT_LINE)]
        await eventually(lambda: room.ann.timeline.spoke_s(room.who("chef")) > 0.2, "it begins")
        await room.post("mute", "chef", muted=True)
        fragment = await cut_off(room, lines[0])
        waited = await room.said(lines[1])
        refused = await room.post("say", "chef", text=LINE)
        await room.post("mute", "chef", muted=False)
        said = await room.said(await _as_soon_as_may_be(room))

        assert (waited.whole, said.whole) == (False, True)
        assert (refused.status_code, refused.json()["error"]) == (409, "persona_muted")
        await room.reads("chef", fragment, NEXT_LINE)


async def _as_soon_as_may_be(room: Scene) -> str:
    """The id of the next line, once the host follows a mute or is there again."""
    while (answer := await room.post("say", "chef", text=NEXT_LINE)).status_code != 202:  # noqa: ASYNC110 - it sends no event
        await asyncio.sleep(0.1)
    return answer.json()["id"]


async def test_a_persona_that_leaves_says_nothing_more(scripted: Stack, schedule: Schedule) -> None:
    """Its lines end with it, and no other persona waits for them."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        line = await room.say("astronaut", LONG_LINE)
        session = await room.session()
        await eventually(lambda: bool(room.told()), "it has the floor")
        async with httpx.AsyncClient(base_url=scripted.url, trust_env=False) as http:
            gone = session["personas"][1]["id"]
            await http.delete(f"/sessions/{session['id']}/personas/{gone}")
        said = await room.said(line)
        chefs = await room.said(await room.say("chef", NEXT_LINE))

        assert (said.whole, chefs.whole) == (False, True)


@pytest.fixture(scope="module", params=[-20, 20])
def shifted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, schedule: Schedule
) -> Generator[Stack]:
    """A worker whose clock is 20 s behind the token service's, or ahead."""
    settings = {SCHEDULE_FILE.lower(): str(schedule.path), "clock_ahead_s": str(request.param)}
    with start_stack(
        tmp_path_factory.mktemp("shifted"),
        model="echo",  # not loaded
        capacity=1,
        worker_module="tests.worker.scripted",
        **settings,
    ) as stack:
        yield stack


async def test_clocks_do_not_matter(shifted: Stack, schedule: Schedule) -> None:
    """A line is taken and said whatever the worker takes for the time."""
    async with scene(shifted, schedule, "chef") as room:
        said = await room.said(await room.say("chef", NEXT_LINE))

        assert said.whole
        await room.reads("chef", NEXT_LINE)


async def test_a_frozen_worker_says_nothing_later(scripted: Stack, schedule: Schedule) -> None:
    """What it did not take in time was taken back: it is said neither then nor once it goes on."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        await room.session()
        with scripted.worker_frozen():
            refused = await room.post("say", "chef", text=LINE)
        said = await room.said(await _as_soon_as_may_be(room))

        assert (refused.status_code, refused.json()["error"]) == (503, "no_answer")
        assert said.whole
        await room.reads("chef", NEXT_LINE)
