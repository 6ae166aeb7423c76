"""A mind in a room, with a scripted model behind real HTTP: what is said, what is taken back."""

import pytest

from harness.language_model import ScriptedModel, calls, hang, says, text, whole_calls
from mind.events import LeftToVoice, Say, Unanswered, Withdraw
from mind.model.instructions import TYPED
from protocol.minds import read_mind
from protocol.room_spec import PersonaSpec
from tests.mind.conftest import CHEF, KEY, Open, chat

TEACHER = PersonaSpec(id="p2", name="teacher", label="Teacher", prompt="You teach.")
LINES = read_mind(
    {"kind": "lines", "lines": [{"when": ["your name"], "say": ["My name is Kim."]}]}, "test"
)


async def test_an_answer_is_said_sentence_by_sentence(
    open_room: Open, model: ScriptedModel
) -> None:
    """The first sentence is out while the model still streams the second."""
    model.reply(says("We open at 9. Ring the bell twice and wait a while, please.", pause_s=0.05))
    async with open_room() as host:
        host.mind.heard("Ann", "When do you open?", final=True)
        await host.until(lambda: host.sentences)
        assert host.sentences == ["We open at 9."]
        await host.mind.settle()
        assert host.sentences[1:] == ["Ring the bell twice and wait a while, please."]
        assert {line.persona_id for line in host.lines} == {"p1"}


async def test_the_model_reads_everybody_by_name(open_room: Open, model: ScriptedModel) -> None:
    """The prompt, the facts, and what people and personas said or typed, reach the model."""
    async with open_room(chat(prompt="Eggs are fresh."), personas=[CHEF, TEACHER]) as host:
        host.mind.heard("Ann", "I like eg", final=False)
        await host.ask("I like eggs.")
        host.mind.persona_said("p2", "Chickens lay them.")
        host.mind.typed("Bo", "And me?")
        await host.mind.settle()
    system, user = model.requests[-1]["messages"]
    assert "You cook." in system["content"] and "Eggs are fresh." in system["content"]
    assert "Ann: I like eggs.\nTeacher: Chickens lay them.\nBo (typed): And me?" in user["content"]
    assert model.requests[-1]["model"] == "scripted"
    assert model.keys == [f"Bearer {KEY}"] * 2


async def test_the_voice_keeps_small_talk(open_room: Open, model: ScriptedModel) -> None:
    """Nothing is said where the model leaves it to the voice, or writes text outside of `say`."""
    model.reply(calls(("leave_to_voice", {})), text("Oh, how nice. I think I should wait."))
    async with open_room() as host:
        await host.ask("Hi there")
        await host.ask("How are you?")
        assert host.events == []


async def test_calls_may_come_whole(open_room: Open, model: ScriptedModel) -> None:
    """Calls that share an index, as Ollama streams them, are told apart by their ids."""
    model.reply(whole_calls(("leave_to_voice", {}), ("say", {"text": "Two calls. Both read."})))
    async with open_room() as host:
        await host.ask("Hi")
        assert host.sentences == ["Two calls.", "Both read."]


async def test_a_person_who_speaks_cancels_what_is_not_yet_said(
    open_room: Open, model: ScriptedModel
) -> None:
    """Lines that the voice has are withdrawn, the rest never comes, no more is read."""
    model.reply(says("One. Two. Three. Four. " + "Five more words follow. " * 30, pause_s=0.02))
    async with open_room(slow=True) as host:
        host.mind.heard("Ann", "Count for me", final=True)
        await host.until(lambda: len(host.lines) == 2)
        host.mind.heard("Bo", "wai", final=False)
        await host.until(lambda: host.withdrawn)
        await host.mind.settle()
        assert host.sentences == ["One.", "Two."]
        assert host.withdrawn == {line.line_id for line in host.lines}
        host.mind.line_ended(host.lines[0].line_id, "cut_off")
        assert len(host.events) == 3


async def test_the_next_question_replaces_an_answer(open_room: Open, model: ScriptedModel) -> None:
    """A call that is under way is broken off, and the new words are answered."""
    model.reply(hang, says("Second."))
    async with open_room() as host:
        host.mind.heard("Ann", "First question", final=True)
        await model.asked.wait()
        await host.ask("Second question")
        assert host.sentences == ["Second."]
        assert host.troubles == []


async def test_lines_are_given_a_few_at_a_time(open_room: Open, model: ScriptedModel) -> None:
    """A third line waits until the first has ended; one that was refused does not stop the rest."""
    model.reply(says("One. Two. Three."))
    async with open_room(slow=True) as host:
        await host.ask("Count")
        assert host.sentences == ["One.", "Two."]
        host.mind.line_ended(host.lines[0].line_id, "refused")
        await host.until(lambda: len(host.lines) == 3)
        assert host.withdrawn == set()


async def test_a_line_that_is_cut_off_ends_the_answer(
    open_room: Open, model: ScriptedModel
) -> None:
    """After a line that was talked down, the rest of the answer is withdrawn."""
    model.reply(says("One. Two. Three."))
    async with open_room(slow=True) as host:
        await host.ask("Count")
        first, second = host.lines
        host.mind.line_ended(first.line_id, "cut_off")
        await host.until(lambda: host.withdrawn)
        assert host.events[2:] == [Withdraw((second.line_id,))]


async def test_the_persona_that_is_meant_answers(open_room: Open, model: ScriptedModel) -> None:
    """The named one, else the one with the floor; one without a mind leaves it to its voice."""
    kim = PersonaSpec(id="p3", name="kim", label="Kim", mind="kim")
    minds = {"chef": chat(), "kim": LINES}
    async with open_room(minds=minds, personas=[CHEF, TEACHER, kim]) as host:
        await host.ask("Kim, what is your name?")
        assert [(line.persona_id, line.sentence) for line in host.lines] == [
            ("p3", "My name is Kim.")
        ]
        host.mind.floor_changed("p3")
        host.mind.floor_changed(None)
        await host.ask("Your name again?")
        await host.ask("Teacher, what is your name?")
        assert len(host.lines) == 2
        assert model.requests == []
        await host.ask("Chef, and yours?")
        assert len(model.requests) == 1


async def test_personas_come_and_go(open_room: Open, model: ScriptedModel) -> None:
    """Lines of a persona that left hold up nobody; without a persona nobody answers."""
    model.reply(says("One. Two. Three."), says("Back."))
    async with open_room(slow=True) as host:
        await host.ask("Count")
        host.mind.set_personas([])
        await host.ask("Anybody?")
        assert len(model.requests) == 1
        host.mind.set_personas([CHEF])
        await host.ask("Are you back?")
        assert host.sentences[2:] == ["Back."]


@pytest.mark.parametrize("words", ["", "  \n", "\x00"])
async def test_no_words_are_no_turn(open_room: Open, model: ScriptedModel, words: str) -> None:
    """Silence asks nothing."""
    async with open_room() as host:
        await host.ask(words)
        assert model.requests == [] and host.events == []


async def test_a_closed_room_is_silent(open_room: Open, model: ScriptedModel) -> None:
    """Closing breaks off the answer; later words are ignored, and `events` ends."""
    model.reply(says("One. " * 50, pause_s=0.02))
    async with open_room(slow=True) as host:
        host.mind.heard("Ann", "Count", final=True)
        await host.until(lambda: host.lines)
        await host.mind.aclose()
        host.mind.heard("Ann", "More", final=True)
        assert all(isinstance(event, (Say, Withdraw)) for event in host.events)
    assert len(model.requests) == 1


async def test_a_typed_line_without_an_answer_is_given_back(
    open_room: Open, model: ScriptedModel
) -> None:
    """By whom, so that the room can say so; the model is told that the voice cannot read it."""
    model.reply(calls(("leave_to_voice", {})), 500, says("Yes."))
    async with open_room(minds={"chef": chat(), "kim": LINES}, personas=[CHEF, TEACHER]) as host:
        for line in ("Hi.", "Chef?", "Teacher, hello?"):
            host.mind.typed("Bo", line, "bo-1")
            await host.mind.settle()
        assert host.events.count(Unanswered("bo-1")) == 3
        await host.ask("Hi, teacher.")
        assert host.events.count(Unanswered("bo-1")) == 3
        assert host.events[-1] == LeftToVoice(), "it need not wait for a line any longer"
    told = [TYPED in asked["messages"][1]["content"] for asked in model.requests]
    assert told == [True, True]


async def test_a_muted_persona_is_asked_nothing(open_room: Open, model: ScriptedModel) -> None:
    """It could not say the answer."""
    muted = CHEF.model_copy(update={"muted": True})
    async with open_room(personas=[muted]) as host:
        await host.ask("Hi?")
        assert model.requests == []
