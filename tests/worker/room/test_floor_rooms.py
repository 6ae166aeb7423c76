"""The floor in a real room, by a model that wants to speak when a schedule says so."""

from harness.babble import babble
from harness.person import eventually
from harness.stack import Stack
from protocol import wire
from protocol.room_spec import RoomSpec
from tests.worker.conftest import HOLD_S, TURNS_ALONE
from tests.worker.rooms import change_promise
from tests.worker.scenes import scene
from tests.worker.scripted.model import TOO_MUCH
from tests.worker.scripted.schedule import Schedule, Wish

OVERLAP_MOST_S = 0.2
TEACHER = {"name": "teacher", "greeting": False}
TRIO = ("chef", "astronaut", TEACHER)
NAMES = ("chef", "astronaut", "teacher")


async def test_one_voice_at_a_time(scripted: Stack, schedule: Schedule) -> None:
    """Three personas that all want to speak all the time are heard one after another."""
    async with scene(scripted, schedule, *TRIO) as room:
        schedule.write({name: Wish(speaks=8, rest=12) for name in NAMES})
        await eventually(
            lambda: all(room.ann.timeline.spoke_s(who) > 0.5 for who in room.ann.heard),
            "each is heard",
        )

        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_the_first_to_want_it_gets_it(scripted: Stack, schedule: Schedule) -> None:
    """Who wants the floor first has it, who wants it later waits for the silence."""
    async with scene(scripted, schedule, *TRIO) as room:
        schedule.write(
            {
                "teacher": Wish(at=2, speaks=10),
                "chef": Wish(at=6, speaks=3),
                "astronaut": Wish(at=9),
            }
        )
        await room.changed("astronaut", "wanted")

        expected = [(name, "wanted") for name in ("teacher", "chef", "astronaut")]
        assert await room.changes() == expected


async def test_each_change_is_an_attribute(scripted: Stack, schedule: Schedule) -> None:
    """The persona with the floor carries it as an attribute, and loses it with the floor."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": Wish(speaks=6)})
        await eventually(lambda: room.told() == {"chef"}, "the chef has it")
        await eventually(lambda: not room.told(), "nobody has it")

        assert await room.changes() == [("chef", "wanted"), ("", "silent")]


async def test_named_by_another_persona(scripted: Stack, schedule: Schedule) -> None:
    """Whom the speaker named comes next, although another has waited longer."""
    async with scene(scripted, schedule, *TRIO) as room:
        schedule.write(
            {
                "chef": Wish(speaks=9, word="Teacher"),
                "astronaut": Wish(at=4, speaks=4),
                "teacher": Wish(at=10, speaks=4),
            }
        )
        await room.changed("astronaut", "wanted")

        expected = [("chef", "wanted"), ("teacher", "named"), ("astronaut", "wanted")]
        assert await room.changes() == expected


async def test_named_in_a_typed_line(scripted: Stack, schedule: Schedule) -> None:
    """Whom a person names in writing comes first."""
    async with scene(scripted, schedule, *TRIO) as room:
        await room.ann.room.local_participant.send_text(
            "Astronaut or Teacher?", topic=wire.CHAT_TOPIC
        )
        await eventually(lambda: bool(room.ann.chat), "the line was read")
        schedule.write({"chef": Wish(), "astronaut": Wish(), "teacher": Wish(at=3)})
        await room.changed("teacher", "named")

        assert await room.changes() == [("teacher", "named")]


async def test_who_holds_it_for_too_long(scripted: Stack, schedule: Schedule) -> None:
    """A persona that does not end yields at a pause that would not have ended its turn."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        held_long = round(HOLD_S / 0.08) + 10
        schedule.write({"chef": Wish(speaks=held_long, rest=4), "astronaut": Wish(at=9)})
        await room.changed("astronaut", "wanted")
        spoke_s = room.ann.timeline.spoke_s(room.who("chef"))

        assert await room.changes() == [("chef", "wanted"), ("astronaut", "wanted")]
        assert spoke_s > HOLD_S
        assert room.overlaps_s() <= OVERLAP_MOST_S


async def test_a_person_speaks_over_it(scripted: Stack, schedule: Schedule) -> None:
    """A persona that goes on is stopped, nobody talks into the person, and then it may go on."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": Wish()})
        await room.changed("chef", "wanted")
        room.ann.speech = babble(30.0, pauses=False)
        schedule.write({"chef": Wish(), "astronaut": Wish(at=20)})
        await room.changed("", "talked_over")
        room.ann.speech = None
        await room.changed("chef", "wanted", times=2)

        assert [to for to, _ in await room.changes()] == ["chef", "", "chef"]


async def test_talk_among_themselves(scripted: Stack, schedule: Schedule) -> None:
    """Personas fall silent after some turns among themselves; a person's word starts them again."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({name: Wish(speaks=4, rest=12) for name in ("chef", "astronaut")})
        await room.changed("", "silent")
        alone = await room.changes()
        room.ann.speech = babble(1.0, pauses=False)
        await room.changed("", "silent", times=2)
        spoken_to = (await room.changes())[len(alone) :]

        assert [bool(to) for to, _ in alone] == [True] * TURNS_ALONE + [False]
        # A turn that began while the person still spoke does not count.
        assert [bool(to) for to, _ in spoken_to][-TURNS_ALONE - 1 :] == (
            [True] * TURNS_ALONE + [False]
        )


async def test_a_persona_whose_slot_fails(scripted: Stack, schedule: Schedule) -> None:
    """It goes on in another slot as the same participant, the room is told, nobody else is lost."""
    async with scene(scripted, schedule, "chef", "astronaut") as room:
        before = {name: room.who(name) for name in ("chef", "astronaut")}
        line = await room.say("chef", TOO_MUCH)
        warning = await room.warned()
        said = await room.said(line)
        schedule.write({"chef": Wish(speaks=9), "astronaut": Wish(at=20, speaks=9)})
        await room.changed("chef", "wanted")
        await room.changed("astronaut", "wanted")
        await eventually(lambda: all(map(room.ann.timeline.spoke_s, before.values())), "both")

        assert (warning.code, warning.identity) == ("slot_failed", before["chef"])
        assert not said.whole
        assert {name: room.who(name) for name in before} == before


async def test_a_muted_persona_takes_no_floor(scripted: Stack, schedule: Schedule) -> None:
    """Who is muted wants nothing as far as the floor goes, so others need not wait for it."""

    def chef_muted(old: RoomSpec) -> RoomSpec:
        chef, astronaut = old.personas
        return old.model_copy(
            update={"personas": (chef.model_copy(update={"muted": True}), astronaut)}
        )

    async with scene(scripted, schedule, "chef", "astronaut") as room:
        schedule.write({"chef": Wish(), "astronaut": Wish(at=9)})
        await room.changed("chef", "wanted")
        await change_promise(scripted, room.ann.room.name, chef_muted)
        await room.changed("astronaut", "wanted")

        assert await room.changes() == [("chef", "wanted"), ("astronaut", "wanted")]
