"""A mind in a real room: the persona's voice answers typed questions with tools' results."""

import asyncio
from collections.abc import Sequence

import httpx

from harness.language_model import ScriptedModel, calls, looks_up, says
from harness.person import eventually
from harness.recordings import speech
from harness.rooms import change_spec, in_talk
from protocol.events import (
    Event,
    MindSaidEvent,
    SaidEvent,
    ToolEndedEvent,
    ToolStartedEvent,
    TranscriptEvent,
)
from tests.worker.mind.conftest import PLAIN, talk
from tests.worker.mind.stack import HOURS, KEY, QUESTION, MindStack
from worker.room.chat import CANNOT_READ
from worker.worker import MINDS_DO_NOT_HEAR


def said(events: Sequence[Event]) -> list[MindSaidEvent]:
    """Return the events of mind sentences that have ended."""
    return [each for each in events if isinstance(each, MindSaidEvent)]


def sentences(events: Sequence[Event]) -> list[str]:
    """Return the mind sentences that were said whole."""
    return [each.text for each in said(events) if each.whole]


async def test_a_typed_question_is_answered_with_what_a_tool_gave(
    minded: MindStack, model: ScriptedModel
) -> None:
    """Events have the person's question, then the tool, then the answer; logs have none of them."""
    model.otherwise = looks_up("opening_hours", {"day": "sunday"})
    async with talk(minded, "shop") as room:
        await room.type(QUESTION)
        await room.scene.reads("shop", HOURS)
        events = await room.until(said, "the sentence has ended")
        shop, ann = room.scene.who("shop"), room.scene.ann
        await eventually(lambda: said(room.messages), "clients learn it")

        kinds = [type(each) for each in events]
        order = [
            next(n for n, each in enumerate(events) if isinstance(each, TranscriptEvent)),
            kinds.index(ToolStartedEvent),
            kinds.index(ToolEndedEvent),
            kinds.index(MindSaidEvent),
        ]
        assert order == sorted(order)
        assert (await room.turns())[0] == ("typed", QUESTION)
        ended = next(each for each in events if isinstance(each, ToolEndedEvent))
        assert (ended.tool, ended.ok, ended.persona, ended.identity) == (
            "opening_hours",
            True,
            "shop",
            shop,
        )
        assert sentences(events) == [HOURS]
        assert [each.type for each in room.messages] == ["tool_started", "tool_ended", "mind_said"]
        assert not [each for each in events if isinstance(each, SaidEvent)]
        assert not ann.chat, "the persona can answer: nothing is typed back"
        [first, *_] = model.requests
        assert f"{ann.room.local_participant.name} (typed): {QUESTION}" in str(first["messages"])
        assert "The voice cannot read it" in str(first["messages"])
    for log in (minded.stack.folder / "worker.log", minded.stack.folder / "token_service.log"):
        text = log.read_text()
        assert KEY not in text and QUESTION not in text and HOURS not in text


async def test_a_new_typed_line_withdraws_the_rest_of_an_answer(
    minded: MindStack, model: ScriptedModel
) -> None:
    """The rest of the first answer is not said, and the second question is answered."""
    model.reply(says("One. Two. Three. " * 20), says("Dinner is ready."))
    async with talk(minded, "shop") as room:
        await room.type("Count for me.")
        await room.until(said, "a first sentence")
        await room.type("Stop. Is dinner ready?")
        events = await room.until(lambda e: sentences(e)[-1:] == ["Dinner is ready."], "answered")

        assert 1 <= len(sentences(events)) - 1 <= 4


async def test_no_sentence_begins_while_a_person_speaks(
    minded: MindStack, model: ScriptedModel
) -> None:
    """A mind's sentence waits until the person is silent, and is then said."""
    model.reply(says("Dinner is ready."))
    async with talk(minded, "shop") as room:
        shop, ann = room.scene.who("shop"), room.scene.ann
        ann.speech = speech(8.0)
        await asyncio.sleep(2.0)  # until it is taken for speech
        await room.type("Is dinner ready?")
        await asyncio.wait_for(model.asked.wait(), 10)
        while ann.speech is not None:
            assert ann.timeline.spoke_s(shop) == 0.0, "it speaks over the person"
            await asyncio.sleep(0.1)
        events = await room.until(said, "the sentence has ended")

        assert sentences(events) == ["Dinner is ready."]


async def test_fixed_lines_need_no_model(minded: MindStack) -> None:
    """A line that fits a pattern gets the fixed answer; any other gets `CANNOT_READ`."""
    async with talk(minded, "greeter") as room:
        await room.type("Hi! What is your name?")
        await room.scene.reads("greeter", "My name is Kim.")
        assert not room.scene.ann.chat
        await room.type("And the weather?")
        await room.chat_says(CANNOT_READ)
    log = (minded.stack.folder / "worker.log").read_text()
    assert log.count(MINDS_DO_NOT_HEAR) == 1, "the log says once that STT is off"


async def test_a_persona_without_a_mind_says_that_it_cannot_read(minded: MindStack) -> None:
    """A persona without a mind answers `CANNOT_READ`, and the transcript has the typed line."""
    async with talk(minded, PLAIN) as room:
        await room.type("Hello?")
        await room.chat_says(CANNOT_READ)
        assert await room.turns() == [("typed", "Hello?")]


async def test_a_typed_line_that_the_mind_leaves_to_the_voice_gets_cannot_read(
    minded: MindStack, model: ScriptedModel
) -> None:
    """A typed line that the model leaves to the voice is answered with `CANNOT_READ`."""
    model.reply(calls(("leave_to_voice", {})))
    async with talk(minded, "shop") as room:
        await room.type("Hello?")
        await room.chat_says(CANNOT_READ)


async def test_a_caller_names_a_mind_and_defines_none(
    minded: MindStack, model: ScriptedModel
) -> None:
    """A caller's own persona may have a mind of the catalogue; any other value is refused."""
    model.otherwise = looks_up("opening_hours", {"day": "sunday"})
    pat = PLAIN | {"mind": "shop"}
    async with talk(minded, pat) as room:
        await room.type(QUESTION)
        await room.scene.reads("plain", HOURS)
        await room.type("Pat?")  # without an answer the room would end in the middle of one
    async with httpx.AsyncClient(base_url=minded.stack.url, trust_env=False) as http:
        for mind in ("nobody", {"kind": "chat"}):
            body = {"personas": [PLAIN | {"mind": mind}]}
            refused = await http.post("/sessions", json=body)
            assert refused.status_code in (400, 422), refused.text
        assert (
            "choices: greeter, shop"
            in (await http.post("/sessions", json={"personas": [PLAIN | {"mind": "nobody"}]})).text
        )
        personas = (await http.get("/personas")).json()
        assert {each["name"]: each["mind"] for each in personas} == {
            "greeter": "greeter",
            "shop": "shop",
        }


async def test_a_muted_persona_is_not_asked(minded: MindStack, model: ScriptedModel) -> None:
    """The mind of a muted persona gets no typed lines until the persona is unmuted."""
    model.otherwise = lambda _: says("Dinner is ready.")
    async with talk(minded, "shop") as room:
        await room.scene.post("mute", "shop", muted=True)
        await asyncio.sleep(2.5)  # the host follows the spec within a second or two
        await room.type("Is dinner ready?")
        await room.chat_says(CANNOT_READ)
        assert not model.requests
        await room.scene.post("mute", "shop", muted=False)
        await asyncio.sleep(2.5)
        await room.type("Is dinner ready?")
        await room.until(sentences, "it answers")


async def test_the_next_host_of_a_room_knows_what_was_said(
    minded: MindStack, model: ScriptedModel
) -> None:
    """A mind knows at the room's next host what was said at the one before, and answers once."""
    model.otherwise = lambda _: says("One.")
    async with talk(minded, "shop") as room:
        await room.type("My name is Kim.")
        await room.scene.reads("shop", "One.")
        before = room.scene.who("shop")
        name = room.scene.ann.room.name
        await change_spec(
            minded.stack,
            name,
            lambda spec: spec.model_copy(update={"generation": spec.newest + 1}),
        )
        await eventually(
            lambda: before not in [e.identity for e in room.scene.ann.personas], "left"
        )
        await in_talk(room.scene.ann)
        assert len(model.requests) == 1
        await room.type(QUESTION)
        await eventually(lambda: len(model.requests) > 1, "the mind is asked")
        asked = str(model.requests[1]["messages"])
        assert "(typed): My name is Kim." in asked and "Robin, at the shop: One." in asked
