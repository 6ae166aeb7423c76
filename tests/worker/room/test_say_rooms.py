"""Lines over HTTP in a real room: each is said whole or cut off, and never finished later."""

import asyncio
from collections.abc import Generator

import httpx
import pytest

from harness.person import eventually, person
from harness.recordings import speech
from harness.rooms import all_free, asking_for
from harness.stack import Stack, start_stack
from protocol.personas import GREETING
from tests.worker.scenes import Scene, scene
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, SpeechPlan

LINE, NEXT_LINE = "Dinner is ready. We have soup and bread.", "We have bread."
LONG_LINE = " ".join([LINE] * 8)  # 20 s: a busy machine cuts it off late, too
OVERLAP_MOST_S = 0.2
GREETER = {"greeting": True}


async def test_a_line_is_said_whole_before_others_speak(
    scripted: Stack, schedule: Schedule
) -> None:
    """A long line with pauses between its words is said whole before another persona speaks."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        line = await room.say("chef", LINE)
        schedule.write({"astronaut": SpeechPlan(speaks=6, rest=3)})
        said = await room.said(line)
        await room.changed("astronaut", "wanted")
        await eventually(lambda: room.ann.timeline.spoke_s(room.who("astronaut")) > 0.2, "it does")

        assert (said.whole, said.persona) == (True, "chef")
        await room.reads("chef", LINE)
        assert [to for to, _ in await room.changes()][:1] == ["chef"]
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_a_line_is_taken_before_all_personas_have_joined(
    scripted: Stack, schedule: Schedule
) -> None:
    """A line that is posted once the first of two personas has joined is taken and said."""
    schedule.write({})
    async with person(scripted.url, asking_for("chef", "astronaut")) as ann:
        await eventually(lambda: bool(ann.personas), "the first persona joins")
        room = Scene(ann, scripted, schedule)
        said = await room.said(await room.say("chef", NEXT_LINE))

        assert said.whole
    await all_free(scripted)


async def test_three_personas_greet_one_after_another(scripted: Stack, schedule: Schedule) -> None:
    """Each of three personas says its greeting once and whole, not at the same time."""
    trio = [GREETER | {"name": name} for name in ("chef", "astronaut", "teacher")]
    async with scene(scripted, schedule, *trio) as room:
        for who in ("chef", "astronaut", "teacher"):
            await room.changed(who, "line")
        for who in ("chef", "astronaut", "teacher"):
            await room.reads(who, GREETING)
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def cut_off(room: Scene, line: str) -> str:
    """Wait until a line was cut off; return what was said of it."""
    assert not (await room.said(line)).whole
    while not await room.read("chef"):  # noqa: ASYNC110 - it sends no event
        await asyncio.sleep(0.05)
    [fragment] = await room.read("chef")
    assert LONG_LINE.startswith(fragment)
    return fragment


async def test_a_line_that_a_person_cut_off_is_not_finished_later(
    scripted: Stack, schedule: Schedule
) -> None:
    """After a person cut off a line, the persona says the next line and not the rest."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        room.ann.speech = speech(30.0)
        line = await room.say("chef", LONG_LINE)
        next_line = await room.say("chef", NEXT_LINE)
        fragment = await cut_off(room, line)
        room.ann.speech = None
        said = await room.said(next_line)

        assert said.whole
        await room.reads("chef", fragment, NEXT_LINE)


async def test_a_line_that_a_mute_cut_off_is_not_finished_later(
    scripted: Stack, schedule: Schedule
) -> None:
    """A mute ends all lines of the persona, which refuses others until it is unmuted."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        lines = [await room.say("chef", text) for text in (LONG_LINE, NEXT_LINE)]
        await eventually(lambda: room.ann.timeline.spoke_s(room.who("chef")) > 0.2, "it begins")
        await room.post("mute", "chef", muted=True)
        fragment = await cut_off(room, lines[0])
        waited = await room.said(lines[1])
        refused = await room.post("say", "chef", text=LINE)
        await room.post("mute", "chef", muted=False)
        said = await room.said(await _say_once_possible(room))

        assert (waited.whole, said.whole) == (False, True)
        assert (refused.status_code, refused.json()["error"]) == (409, "persona_muted")
        await room.reads("chef", fragment, NEXT_LINE)


async def _say_once_possible(room: Scene) -> str:
    """Post a line until it is taken, after a mute or a freeze; return its id."""
    while (answer := await room.post("say", "chef", text=NEXT_LINE)).status_code != 202:  # noqa: ASYNC110 - it sends no event
        await asyncio.sleep(0.1)
    return answer.json()["id"]


async def test_a_persona_that_leaves_says_nothing_more(scripted: Stack, schedule: Schedule) -> None:
    """The line of a persona that leaves is cut off, and another persona's line is said."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        line = await room.say("astronaut", LONG_LINE)
        session = await room.session()
        await eventually(lambda: bool(room.floor_holders()), "it has the floor")
        async with httpx.AsyncClient(base_url=scripted.url, trust_env=False) as http:
            gone = session["personas"][1]["id"]
            await http.delete(f"/sessions/{session['id']}/personas/{gone}")
        said = await room.said(line)
        chefs = await room.said(await room.say("chef", NEXT_LINE))

        assert (said.whole, chefs.whole) == (False, True)


@pytest.fixture
def shifted(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Stack]:
    """Start the product with a worker whose clock is 20 s ahead of the token service's."""
    settings = {SCHEDULE_FILE.lower(): str(schedule.path), "clock_ahead_s": "20"}
    with start_stack(
        tmp_path_factory.mktemp("shifted"),
        model="echo",  # not loaded
        capacity=1,
        worker_module="tests.worker.scripted",
        **settings,
    ) as stack:
        yield stack


async def test_a_line_is_said_whatever_the_workers_clock(
    shifted: Stack, schedule: Schedule
) -> None:
    """A line is taken and said by a worker whose clock is 20 s wrong."""
    async with scene(shifted, schedule, "chef") as room:
        said = await room.said(await room.say("chef", NEXT_LINE))

        assert said.whole
        await room.reads("chef", NEXT_LINE)


async def test_a_line_that_a_frozen_worker_did_not_take_is_not_said(
    scripted: Stack, schedule: Schedule
) -> None:
    """A line that got no answer in time is not said once the worker goes on."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        await room.session()
        with scripted.worker_frozen():
            refused = await room.post("say", "chef", text=LINE)
        said = await room.said(await _say_once_possible(room))

        assert (refused.status_code, refused.json()["error"]) == (503, "no_answer")
        assert said.whole
        await room.reads("chef", NEXT_LINE)
