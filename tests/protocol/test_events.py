"""Events of a room, as they are written into redis and read."""

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from protocol.config.settings import PROJECT
from protocol.events import EVENT, Event, StateEvent, TurnEvent, events_key, read_event

PAGE = PROJECT / "web/src/session/events/eventText.ts"


def every(kind: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    """Return a strategy for events of one kind, with times that a clock can show."""
    times = {
        name: st.floats(0, 2**33)
        for name, field in kind.model_fields.items()
        if field.annotation is float
    }
    return st.builds(kind, **times)


@given(st.one_of(*(every(kind) for kind in get_args(get_args(Event)[0]))))
def test_an_event_survives_the_way_through_redis(event: Event) -> None:
    """An event is read from redis as it was written."""
    assert read_event(EVENT.dump_json(event)) == event


def test_the_page_knows_each_type_of_event() -> None:
    """The page has a text for each type of event, and for no other."""
    [texts] = re.findall(r"^const TEXTS.*?^};$", PAGE.read_text(encoding="utf-8"), re.M | re.S)

    told = re.findall(r"^  (\w+):", texts, re.M)
    assert sorted(told) == sorted(EVENT.json_schema()["discriminator"]["mapping"])


def test_a_state_without_optional_fields_is_read() -> None:
    """An event of state in JSON without optional fields is read."""
    written = {"type": "state", "at_s": 5, "persona_id": "a", "persona": "chef"}
    written |= {"identity": "agent-chef-a-1", "state": "speaking"}

    assert read_event(json.dumps(written)) == StateEvent(
        at_s=5.0, persona_id="a", persona="chef", identity="agent-chef-a-1", state="speaking"
    )


def test_a_newer_hosts_fields_are_ignored() -> None:
    """Unknown fields of an event are ignored."""
    turn = TurnEvent(at_s=1, persona_id="a", persona="chef", identity="x", latency_ms=300)

    assert read_event(json.dumps(turn.model_dump() | {"colour": "blue"})) == turn


@pytest.mark.parametrize("text", ["", "x", "{}", '{"type": "party", "at_s": 1}'])
def test_a_text_that_is_no_event_is_refused(text: str) -> None:
    """A text that is no event of a known type is refused."""
    with pytest.raises(ValidationError):
        read_event(text)


def test_each_room_has_a_stream_of_its_own() -> None:
    """Each room has its own stream, whose key holds the room's name as it is."""
    assert events_key("{room}") == "moshi:events:{room}"
