"""The floor in a real room, with a model that wants to speak when a schedule says so."""

from dataclasses import replace

from harness.person import eventually
from harness.recordings import speech
from harness.rooms import change_spec
from harness.stack import Stack
from protocol import wire
from protocol.room_spec import RoomSpec
from tests.worker.conftest import HOLD_S, TURNS_ALONE
from tests.worker.scenes import scene
from tests.worker.scripted.model import TOO_MUCH
from tests.worker.scripted.schedule import Schedule, SpeechPlan

OVERLAP_MOST_S = 0.2
TEACHER = {"name": "teacher", "greeting": False}
TRIO = ("chef", "astronaut", TEACHER)
NAMES = ("chef", "astronaut", "teacher")


async def test_the_holder_of_the_floor_has_the_attribute(
    scripted: Stack, schedule: Schedule
) -> None:
    """The persona with the floor has `ATTR_FLOOR`, and loses it with the floor."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": SpeechPlan(speaks=6)})
        await eventually(lambda: room.floor_holders() == {"chef"}, "the chef has the floor")
        await eventually(lambda: not room.floor_holders(), "no persona has the floor")

        assert await room.changes() == [("chef", "wanted"), ("", "silent")]


async def test_a_persona_that_the_speaker_named_is_next(
    scripted: Stack, schedule: Schedule
) -> None:
    """A persona that another one named comes next, although a third has waited longer."""
    async with scene(scripted, schedule, *TRIO) as room:
        schedule.write(
            {
                "chef": SpeechPlan(speaks=9, word="Teacher"),
                "astronaut": SpeechPlan(at=4, speaks=4),
                "teacher": SpeechPlan(at=10, speaks=4),
            }
        )
        await room.changed("astronaut", "wanted")

        expected = [("chef", "wanted"), ("teacher", "named"), ("astronaut", "wanted")]
        assert await room.changes() == expected


async def test_a_persona_that_a_typed_line_named_comes_first(
    scripted: Stack, schedule: Schedule
) -> None:
    """The last persona that a typed line names gets the floor first."""
    async with scene(scripted, schedule, *TRIO) as room:
        await room.ann.room.local_participant.send_text(
            "Astronaut or Teacher?", topic=wire.CHAT_TOPIC
        )
        await eventually(lambda: bool(room.ann.chat), "the line was read")
        schedule.write(
            {"chef": SpeechPlan(), "astronaut": SpeechPlan(), "teacher": SpeechPlan(at=3)}
        )
        await room.changed("teacher", "named")

        assert await room.changes() == [("teacher", "named")]


async def test_a_persona_that_does_not_end_yields_in_a_pause(
    scripted: Stack, schedule: Schedule
) -> None:
    """A persona that held the floor for too long loses it in a pause too short to end a turn."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        held_long = round(HOLD_S / 0.08) + 10
        schedule.write(
            {"chef": SpeechPlan(speaks=held_long, rest=4), "astronaut": SpeechPlan(at=9)}
        )
        await room.changed("astronaut", "wanted")
        spoke_s = room.ann.timeline.spoke_s(room.who("chef"))

        assert await room.changes() == [("chef", "wanted"), ("astronaut", "wanted")]
        assert spoke_s > HOLD_S
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_a_person_who_speaks_over_a_persona_stops_it(
    scripted: Stack, schedule: Schedule
) -> None:
    """A persona that a person talks over is stopped, and speaks next once the person has ended."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": SpeechPlan()})
        await room.changed("chef", "wanted")
        room.ann.speech = speech(30.0)
        schedule.write({"chef": SpeechPlan(), "astronaut": SpeechPlan(at=20)})
        await room.changed("", "talked_over")
        room.ann.speech = None
        await room.changed("chef", "wanted", times=2)

        assert [to for to, _ in await room.changes()] == ["chef", "", "chef"]


async def test_personas_take_few_turns_among_themselves(
    scripted: Stack, schedule: Schedule
) -> None:
    """Personas stop after `TURNS_ALONE` turns; a person who speaks starts them again."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({name: SpeechPlan(speaks=4, rest=12) for name in ("chef", "astronaut")})
        await room.changed("", "silent")
        alone = await room.changes()
        room.ann.speech = speech(1.0)
        await room.changed("", "silent", times=2)
        spoken_to = (await room.changes())[len(alone) :]

        assert [bool(to) for to, _ in alone] == [True] * TURNS_ALONE + [False]
        # A turn that began while the person still spoke does not count.
        assert [bool(to) for to, _ in spoken_to][-TURNS_ALONE - 1 :] == (
            [True] * TURNS_ALONE + [False]
        )


async def test_a_persona_whose_slot_fails_goes_on_in_another_slot(
    scripted: Stack, schedule: Schedule
) -> None:
    """A persona whose slot fails stays the same participant, and the room gets a warning."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        before = {name: room.who(name) for name in ("chef", "astronaut")}
        line = await room.say("chef", TOO_MUCH)
        warning = await room.warned()
        said = await room.said(line)
        again = SpeechPlan(speaks=9, rest=60)  # the chef may have no slot yet at first
        schedule.write({"chef": again, "astronaut": replace(again, at=20)})
        await room.changed("chef", "wanted")
        await room.changed("astronaut", "wanted")
        await eventually(lambda: all(map(room.ann.timeline.spoke_s, before.values())), "both")

        assert (warning.code, warning.identity) == ("slot_failed", before["chef"])
        assert not said.whole
        assert {name: room.who(name) for name in before} == before


async def test_a_muted_persona_takes_no_floor(scripted: Stack, schedule: Schedule) -> None:
    """A persona that is muted loses the floor to the next one."""

    def chef_muted(old: RoomSpec) -> RoomSpec:
        chef, astronaut = old.personas
        return old.model_copy(
            update={"personas": (chef.model_copy(update={"muted": True}), astronaut)}
        )

    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": SpeechPlan(), "astronaut": SpeechPlan(at=9)})
        await room.changed("chef", "wanted")
        await change_spec(scripted, room.ann.room.name, chef_muted)
        await room.changed("astronaut", "wanted")

        assert await room.changes() == [("chef", "wanted"), ("astronaut", "wanted")]
