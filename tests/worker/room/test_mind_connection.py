"""What a mind is told of the people of its room; LiveKit and the mind are stand-ins."""

from types import SimpleNamespace
from typing import Any

from mind.room import RoomMind
from protocol.events import TranscriptEvent
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.room.mind_connection import MindConnection


async def test_the_last_words_of_a_person_who_has_left_have_their_name() -> None:
    """Words are recognised after they were said: of a person who has left meanwhile, too."""
    ann = SimpleNamespace(identity="person-1", name="Ann")
    here = {ann.identity: ann}
    on_left: dict[str, Any] = {}
    room: Any = SimpleNamespace(remote_participants=here, on=on_left.__setitem__)
    told: list[tuple[Any, ...]] = []
    mind = SimpleNamespace(call=lambda method, *words, **_: told.append((method, *words)))
    minds: Any = SimpleNamespace(open_room=lambda *_: mind, tables={})
    spec = RoomSpec(room="r", personas=(PersonaSpec(id="p1", name="chef", label="Chef"),))
    personas: Any = SimpleNamespace(present=[])
    connection = MindConnection(minds, spec, room, personas, told.append, told.append)
    del here[ann.identity]
    on_left["participant_disconnected"](ann)
    said = TranscriptEvent(
        at_s=0.0, identity=ann.identity, segment_id="s", text="Bye.", final=True, start_s=0, end_s=1
    )
    connection.take(said)
    assert told == [(RoomMind.heard, "Ann", "Bye.")]
