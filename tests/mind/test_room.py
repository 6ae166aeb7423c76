"""A mind in a room with a scripted model over real HTTP: lines that are said and withdrawn."""

from typing import Any

import pytest

from harness.language_model import ScriptedModel, calls, hang, says, text, whole_calls
from mind import room
from mind.events import LeftToVoice, MindEvent, Say, Unanswered, Withdraw
from mind.model.instructions import TYPED
from mind.room import Fate
from mind.words.lines import FixedAnswers
from protocol.events import (
    ChangedEvent,
    Event,
    ToolEndedEvent,
    ToolStartedEvent,
    TranscriptEvent,
)
from protocol.minds import LinesMind, read_mind
from protocol.room_spec import PersonaSpec
from tests.mind.conftest import CHEF, KEY, Open, chat

TEACHER = PersonaSpec(id="p2", name="teacher", label="Teacher", prompt="You teach.")
LINES = read_mind(
    {"kind": "lines", "lines": [{"when": ["your name"], "say": ["My name is Kim."]}]}, "test"
)


async def test_an_answer_is_said_sentence_by_sentence(
    open_room: Open, model: ScriptedModel
) -> None:
    """The first sentence is given while the model still streams the second."""
    model.reply(says("We open at 9. Ring the bell twice and wait a while, please.", pause_s=0.05))
    async with open_room() as host:
        host.mind.heard("Ann", "When do you open?", final=True)
        await host.until(lambda: host.sentences)
        assert host.sentences == ["We open at 9."]
        await host.mind.settle()
        assert host.sentences[1:] == ["Ring the bell twice and wait a while, please."]
        assert {line.persona_id for line in host.lines} == {"p1"}


async def test_the_model_reads_everyone_by_name(open_room: Open, model: ScriptedModel) -> None:
    """The model reads the prompts and what each person and persona said or typed, with names."""
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


def said(identity: str, text: str, **fields: Any) -> TranscriptEvent:
    """Return the event of a final segment."""
    about = {"segment_id": text, "final": True, "start_s": 0.0, "end_s": 0.0} | fields
    return TranscriptEvent(at_s=0.0, identity=identity, text=text, **about)


CHEF_IS = {"persona_id": "p1", "persona": "chef", "identity": "agent-1"}


async def test_a_host_that_takes_over_gives_the_mind_what_was_said(
    open_room: Open, model: ScriptedModel
) -> None:
    """Words, typed lines and calls of functions before it are known by name, and not answered."""
    events: list[Event] = [
        said("ann-1", "I am Ann", final=False),
        said("ann-1", "I am Ann."),
        said("bo-2", "Two soups", typed=True),
        ToolStartedEvent(at_s=0.0, call_id="c", tool="order", **CHEF_IS),
        ToolEndedEvent(at_s=0.0, call_id="c", tool="order", took_ms=5, ok=True, **CHEF_IS),
        said("agent-1", "Here you are.", persona_id="p1", persona="chef"),
    ]
    async with open_room() as host:
        host.mind.recall(events, {"ann-1": "Ann"})
        await host.ask("What is my name?")
    read = model.requests[0]["messages"][1]["content"]
    assert (
        "Ann: I am Ann.\nbo-2 (typed): Two soups\nChef (function): order → done\n"
        "Chef: Here you are.\nAnn: What is my name?\n"
    ) in read
    assert len(model.requests) == 1


@pytest.mark.parametrize("recalls", [False, True])
async def test_a_persona_that_was_told_to_forget_knows_nothing_of_before(
    open_room: Open, model: ScriptedModel, recalls: bool
) -> None:
    """After `forget` its mind reads what is said since, other personas' minds read all."""
    teacher = TEACHER.model_copy(update={"mind": "chef"})
    async with open_room(personas=[CHEF, teacher]) as host:
        if recalls:
            forgets = ChangedEvent(at_s=0.0, change="forget", persona_id="p1")
            host.mind.recall([said("ann", "I am Ann."), forgets], {})
        else:
            host.mind.heard("ann", "I am Ann.", final=True)
            host.mind.forget("p1")
        model.requests.clear()
        await host.ask("Chef, my name?", "ann")
        await host.ask("Teacher, my name?", "ann")
    chef_reads, teacher_reads = (each["messages"][1]["content"] for each in model.requests[-2:])
    assert "I am Ann." not in chef_reads and "Chef, my name?" in chef_reads
    assert "I am Ann." in teacher_reads


async def test_nothing_is_said_if_the_model_leaves_it_to_the_voice(
    open_room: Open, model: ScriptedModel
) -> None:
    """Nothing is said if the model calls `leave_to_voice` or writes text outside of `say`."""
    model.reply(calls(("leave_to_voice", {})), text("Oh, how nice. I think I should wait."))
    async with open_room() as host:
        await host.ask("Hi there")
        await host.ask("How are you?")
        assert host.events == []


async def test_whole_calls_are_told_apart_by_their_ids(
    open_room: Open, model: ScriptedModel
) -> None:
    """Tool calls that share an index, as Ollama streams them, are told apart by their ids."""
    model.reply(whole_calls(("leave_to_voice", {}), ("say", {"text": "Two calls. Both read."})))
    async with open_room() as host:
        await host.ask("Hi")
        assert host.sentences == ["Two calls.", "Both read."]


async def test_a_person_who_speaks_cancels_unsaid_lines(
    open_room: Open, model: ScriptedModel
) -> None:
    """When a person speaks, lines that were given are withdrawn and no more are given."""
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
    """A new question cancels the call under way, and is answered."""
    model.reply(hang, says("Second."))
    async with open_room() as host:
        host.mind.heard("Ann", "First question", final=True)
        await model.asked.wait()
        await host.ask("Second question")
        assert host.sentences == ["Second."]
        assert host.troubles == []


async def test_lines_are_given_a_few_at_a_time(open_room: Open, model: ScriptedModel) -> None:
    """A third line is given after the first ended, even if that one was refused."""
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
    """After a line was cut off, the rest of the answer is withdrawn."""
    model.reply(says("One. Two. Three."))
    async with open_room(slow=True) as host:
        await host.ask("Count")
        first, second = host.lines
        host.mind.line_ended(first.line_id, "cut_off")
        await host.until(lambda: host.withdrawn)
        assert host.events[2:] == [Withdraw((second.line_id,))]


async def test_the_addressed_persona_answers(open_room: Open, model: ScriptedModel) -> None:
    """The named persona answers, or else the one with the floor; one without a mind does not."""
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


async def test_a_mind_answers_again_when_its_persona_returns(
    open_room: Open, model: ScriptedModel
) -> None:
    """After its persona left and came back a mind answers; meanwhile no one does."""
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
async def test_a_turn_without_words_is_ignored(
    open_room: Open, model: ScriptedModel, words: str
) -> None:
    """A turn without words asks the model nothing."""
    async with open_room() as host:
        await host.ask(words)
        assert model.requests == [] and host.events == []


async def test_a_closed_room_is_silent(open_room: Open, model: ScriptedModel) -> None:
    """Closing a room cancels its answer, and later words are ignored."""
    model.reply(says("One. " * 50, pause_s=0.02))
    async with open_room(slow=True) as host:
        host.mind.heard("Ann", "Count", final=True)
        await host.until(lambda: host.lines)
        await host.mind.aclose()
        host.mind.heard("Ann", "More", final=True)
        assert all(isinstance(event, (Say, Withdraw)) for event in host.events)
    assert len(model.requests) == 1


async def test_patterns_are_read_once(open_room: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room reads the patterns of a persona's fixed lines once, and not with each turn."""
    read: list[LinesMind] = []

    class Counted(FixedAnswers):
        def __init__(self, config: LinesMind, greeting: str) -> None:
            read.append(config)
            super().__init__(config, greeting)

    monkeypatch.setattr(room, "FixedAnswers", Counted)
    kim = CHEF.model_copy(update={"mind": "kim"})
    async with open_room(minds={"kim": LINES}, personas=[kim]) as host:
        for _ in range(3):
            await host.ask("What is your name?")

    assert len(read) == 1
    assert host.sentences == ["My name is Kim."] * 3


async def test_a_typed_line_without_an_answer_is_given_back(
    open_room: Open, model: ScriptedModel
) -> None:
    """A typed line that gets no answer is given back with its id, a spoken one is not."""
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


async def test_a_line_whose_answer_cannot_be_said_has_no_answer(
    open_room: Open, model: ScriptedModel
) -> None:
    """Where the persona can say no sentence of an answer, that counts as no answer."""
    model.reply(says("One. Two. Three."), says("One. Two."))
    kim = TEACHER.model_copy(update={"label": "Kim", "mind": "kim"})
    minds = {"chef": chat(), "kim": LINES}
    async with open_room(minds=minds, personas=[CHEF, kim], slow=True) as host:

        async def answered(fates: list[Fate]) -> list[MindEvent]:
            begin = len(host.events)
            await host.mind.settle()
            for number, fate in enumerate(fates):
                await host.until(lambda at=number: len(said(begin)) > at)
                host.mind.line_ended(said(begin)[number].line_id, fate)
            await host.mind.settle()
            return [each for each in host.events[begin:] if not isinstance(each, Say)]

        def said(begin: int) -> list[Say]:
            return [each for each in host.events[begin:] if isinstance(each, Say)]

        host.mind.typed("Bo", "Chef, count", "bo-1")
        assert await answered(["refused", "refused", "refused"]) == [Unanswered("bo-1")]
        host.mind.typed("Bo", "Chef, count", "bo-1")
        assert await answered(["said", "refused"]) == []
        host.mind.typed("Bo", "Kim, your name?", "bo-1")
        assert await answered(["refused"]) == [Unanswered("bo-1")]
        host.mind.heard("Bo", "Kim, your name?", final=True)
        assert await answered(["refused"]) == [LeftToVoice()]


async def test_a_model_is_not_asked_for_a_muted_persona(
    open_room: Open, model: ScriptedModel
) -> None:
    """The model is not asked for a muted persona."""
    muted = CHEF.model_copy(update={"muted": True})
    async with open_room(personas=[muted]) as host:
        await host.ask("Hi?")
        assert model.requests == []


async def test_fixed_lines_know_when_the_persona_speaks(open_room: Open) -> None:
    """A question is open until its persona begins to speak; its own words are repeated."""
    lines = [
        {"when": ["what time * open"], "say": ["At nine."]},
        {"when": ["repeat"], "repeat": True},
    ]
    mind = read_mind({"kind": "lines", "lines": lines}, "test")
    kim = CHEF.model_copy(update={"mind": "kim", "greeting": "Welcome!"})
    async with open_room(minds={"kim": mind}, personas=[kim]) as host:
        host.mind.persona_said(kim.id, "Welcome!")
        await host.ask("Repeat!")
        await host.ask("What time do you")
        host.mind.persona_said(kim.id, "I", final=False)
        await host.ask("open today?")
        assert host.sentences == ["Welcome!"] and host.events[-1] == LeftToVoice()
        for words in ("What time do you", "open today?"):
            await host.ask(words)
        assert host.sentences == ["Welcome!", "At nine."]
