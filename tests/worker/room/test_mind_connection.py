"""What a mind is told of the people of its room; LiveKit and the mind are stand-ins."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mind.room import RoomMind
from protocol.events import Event, TranscriptEvent
from protocol.minds import read_mind
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.room.mind_connection import MindConnection

SPEC = RoomSpec(room="r", personas=(PersonaSpec(id="p1", name="chef", label="Chef"),))


async def test_a_mind_is_told_what_was_said_in_its_session_before() -> None:
    """The events of an earlier session in the same room are left out; people have their names."""
    ann = SimpleNamespace(identity="person-1", name="Ann")
    room: Any = SimpleNamespace(remote_participants={ann.identity: ann}, on=lambda *_: None)
    told: list[tuple[Any, ...]] = []
    mind = SimpleNamespace(call=lambda *call, **_: told.append(call))
    minds: Any = SimpleNamespace(open_room=lambda *_: mind, tables={})
    personas: Any = SimpleNamespace(present=[])
    before, then, now = (
        TranscriptEvent(
            at_s=at_s,
            identity=ann.identity,
            segment_id="s",
            text=f"At {at_s:g}.",
            final=True,
            start_s=0,
            end_s=1,
        )
        for at_s in (9.0, 10.0, 11.0)
    )
    spec = SPEC.model_copy(update={"opened_s": 10.0})
    connection = MindConnection(minds, spec, room, personas, told.append, told.append)

    async def read_events(room: str) -> list[Event]:
        assert room == "r"
        connection.take(now)
        return [before, then, now]

    for _ in range(2):
        connection.recall(read_events)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == [
        (RoomMind.recall, [then], {"person-1": "Ann"}),
        (RoomMind.heard, "Ann", "At 11."),
    ]


async def test_a_recogniser_is_told_what_people_may_say_and_whom_they_may_call() -> None:
    """Sentences of several minds are told once and late; names last, where there are several."""
    chef, zoe = (
        read_mind(
            {"kind": "lines", "lines": [{"when": [each], "say": ["Yes."]} for each in when]}, ""
        )
        for when in (("hello", "how much salt"), ("hello", "why"))
    )
    names = {"chef": "Chef", "zoe": "Dr. Zoë Hill"}
    specs = [PersonaSpec(id=name, name=name, label=names[name], mind=name) for name in names]
    room: Any = SimpleNamespace(remote_participants={}, on=lambda *_: None)
    minds: Any = SimpleNamespace(
        open_room=lambda *_: SimpleNamespace(call=lambda *_: None),
        tables={"chef": chef, "zoe": zoe},
    )
    personas: Any = SimpleNamespace(present=[])
    likely = [
        MindConnection(
            minds, RoomSpec(room="r", personas=tuple(some)), room, personas, print, print
        ).likely()
        for some in (specs, specs[:1])
    ]
    assert likely == ["How much salt? Why? Hello. Chef! Zoë!", "Hello. How much salt?"]


async def test_the_last_words_of_a_person_who_has_left_have_their_name() -> None:
    """Words are recognised after they were said: of a person who has left meanwhile, too."""
    ann = SimpleNamespace(identity="person-1", name="Ann")
    here = {ann.identity: ann}
    on_left: dict[str, Any] = {}
    room: Any = SimpleNamespace(remote_participants=here, on=on_left.__setitem__)
    told: list[tuple[Any, ...]] = []
    mind = SimpleNamespace(call=lambda method, *words, **_: told.append((method, *words)))
    minds: Any = SimpleNamespace(open_room=lambda *_: mind, tables={})
    personas: Any = SimpleNamespace(present=[])
    connection = MindConnection(minds, SPEC, room, personas, told.append, told.append)
    del here[ann.identity]
    on_left["participant_disconnected"](ann)
    said = TranscriptEvent(
        at_s=0.0, identity=ann.identity, segment_id="s", text="Bye.", final=True, start_s=0, end_s=1
    )
    connection.take(said)
    assert told == [(RoomMind.heard, "Ann", "Bye.")]


@pytest.mark.parametrize("is_answering", [False, True])
async def test_an_answer_may_come_from_a_persons_pause_on(is_answering: bool) -> None:
    """An answer may come while a person's words are not known yet, and while the mind answers."""
    ann = SimpleNamespace(identity="person-1", name="Ann")
    room: Any = SimpleNamespace(remote_participants={ann.identity: ann}, on=lambda *_: None)
    mind = SimpleNamespace(call=lambda *_, **__: None, is_answering=False)
    minds: Any = SimpleNamespace(open_room=lambda *_: mind, tables={})
    personas: Any = SimpleNamespace(present=[])
    connection = MindConnection(minds, SPEC, room, personas, print, print)
    words: Any = {
        "at_s": 0.0,
        "identity": ann.identity,
        "segment_id": "s",
        "start_s": 0,
        "end_s": 1,
    }
    may_answer = [connection.may_answer]
    connection.people_paused(True)
    for final in (False, True):
        may_answer.append(connection.may_answer)
        connection.take(TranscriptEvent(text="Is it?", final=final, **words))
    mind.is_answering = is_answering

    assert [*may_answer, connection.may_answer] == [False, True, True, is_answering]
