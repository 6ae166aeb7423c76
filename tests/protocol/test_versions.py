"""Records of another version: what is not known of them is kept, or read as what does no harm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.servers import GivenSettings
from protocol.commands import Answer, Command, Sent
from protocol.heartbeat import Heartbeat
from protocol.room_spec import RoomSpec
from protocol.sampling import UsualSampling
from protocol.seal import Seal
from token_service.fleet.schedule import Schedule
from token_service.rooms.changes import muted

SEAL = Seal(GivenSettings(livekit_api_secret="one secret of at least 32 bytes!"))
PERSONA = {"id": "a", "name": "chef", "label": "Chef"}
HEARTBEAT = {"worker_id": "w", "state": "ready", "model": "m"}
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)
NEWER = st.dictionaries(st.from_regex(r"newer_[a-z]{1,3}", fullmatch=True), VALUES, max_size=3)


@given(NEWER, NEWER, NEWER)
def test_a_spec_keeps_a_newer_versions_fields(
    of_spec: dict[str, Any], of_persona: dict[str, Any], of_sampling: dict[str, Any]
) -> None:
    """Fields of a newer version survive the way to a worker, changes, and the way back."""
    sampling = {"seed": 1} | of_sampling
    persona = PERSONA | of_persona | {"sampling": sampling}
    newer = RoomSpec.from_metadata(json.dumps({"room": "r", "personas": [persona]} | of_spec))
    carried = SEAL.open(SEAL.close(newer), "r")
    written = json.loads(muted(carried.moving_to("w").moved(), None, True).model_dump_json())
    [chef] = written["personas"]

    assert carried == newer
    assert written == written | of_spec | {"generation": 1}
    assert chef == chef | of_persona | {"muted": True}
    assert chef["sampling"] == chef["sampling"] | sampling


def test_a_persona_is_sampled_by_what_is_known_of_its_sampling() -> None:
    """A newer version's field of a persona's sampling changes nothing."""
    persona = PERSONA | {"sampling": {"text_top_k": 5, "newer": 1}}
    spec = RoomSpec.from_metadata(json.dumps({"room": "r", "personas": [persona]}))
    usual = UsualSampling()

    assert spec.personas[0].sampling.over(usual) == usual.model_copy(update={"text_top_k": 5})


@given(NEWER, NEWER)
def test_the_schedule_keeps_a_newer_versions_fields(
    of_room: dict[str, Any], of_hold: dict[str, Any]
) -> None:
    """Fields of a newer version survive a change of a room's entry."""
    hold = {"caller": "shop", "slots": 1, "until_s": 9.0} | of_hold
    entry = {"hold": hold, "expires_s": 9.0} | of_room
    schedule = Schedule({"room:r": json.dumps(entry)}, now_s=1.0)
    schedule.enqueue("r", 2, since_s=1.0)
    [written], _ = schedule.changes()
    after = json.loads(schedule.changes()[0][written])

    assert after == after | of_room | {"needs": 2}
    assert after["hold"] == hold


@pytest.mark.parametrize(
    ("newer", "read"),
    [
        ({"state": "resting"}, {"state": "connecting"}),
        ({"stt": {"state": "resting"}}, {"stt": {"state": "off", "model": "", "reason": ""}}),
        (
            {"outcomes": {"r": {"generation": 2, "outcome": "hosted_twice"}}},
            {"outcomes": {"r": {"generation": 2, "outcome": "hosted", "lost": False}}},
        ),
        ({"colour": "blue"}, {}),
    ],
)
def test_a_newer_workers_heartbeat_is_read(newer: dict[str, Any], read: dict[str, Any]) -> None:
    """A worker with a state or an outcome of a newer version keeps its rooms and gets no others."""
    told = Heartbeat.model_validate_json(json.dumps(HEARTBEAT | newer))
    known = Heartbeat.model_validate(HEARTBEAT)

    assert told.model_dump() == known.model_dump() | read
    assert told.memory_format == 1


def test_commands_of_a_newer_version_have_an_answer() -> None:
    """Of a command that is not known the id is read, and a refusal that is not known is one."""
    newer = json.dumps({"id": "7", "room": "r", "generation": 1, "do": "dance"})
    refused = json.dumps({"refusal": "tired", "detail": "Not today."})

    with pytest.raises(ValueError):
        Command.model_validate_json(newer)
    assert Sent.model_validate_json(newer).id == "7"
    assert Answer.model_validate_json(refused) == Answer(refusal="no_answer", detail="Not today.")
    assert Answer.model_validate_json('{"refusal": null}').refusal is None
