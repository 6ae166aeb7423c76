"""The sound of a room that moves: in its recording, and for a program without WebRTC."""

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest

from harness.person import Person, eventually
from protocol import wire
from tests.faults.call import poll_until
from tests.faults.cluster import Cluster
from tests.faults.talk import talk
from tests.worker.recording.listening import Samples, channels, found_at_s
from tests.worker.recording.test_part import noise
from tests.worker.websocket.program import taking_part

SETTLED_S = 1.5  # longer than the half second between two writes of a recording
NEAR_S = 1.0  # between a person and the worker, on a busy machine
CHEF_HZ = 440.0
TONE = np.sin(2 * np.pi * CHEF_HZ * np.arange(48_000) / 48_000).astype(np.float32)


async def test_a_program_stays_connected_while_its_worker_drains(talking: Cluster) -> None:
    """A program's WebSocket stays open while its worker drains, and it hears the next host."""
    async with talk(talking, "chef", only_reads=True) as room:
        first, host = room.shown()["chef"], talking.host_of(room.room)
        name = str(host.told()["worker_id"])
        async with taking_part(talking.url, room.session["id"], identity="program") as program:
            await program.until(lambda: program.hears(CHEF_HZ), "the first host's persona")
            host.drain()
            await room.is_hosted(2)
            second = room.shown()["chef"]
            spoken = len(speakers(program.read))
            await program.until(lambda: second in speakers(program.read)[spoken:], "its words")
            await program.until(lambda: program.hears(CHEF_HZ), "the next host's persona")
            beats_meanwhile, closed = talking.beats(name), program.closed
        await poll_until(lambda: not talking.beats(name))
        host.stop()  # it has ended, so that the next test starts it

    assert (beats_meanwhile, closed) == (True, None)
    assert second != first
    order = [each == first for each in speakers(program.read)]
    assert order == sorted(order, reverse=True)  # the first host's come before the second's
    assert {each["type"] for each in program.read} <= {
        "ready",
        "dispatched",
        "people",
        "state",
        "transcript",
        "floor",
    }


def speakers(read: list[dict[str, Any]]) -> list[str]:
    """Return who said each of the words that a program has read."""
    return [each["identity"] for each in read if each["type"] == "transcript"]


@pytest.mark.alone  # beside three other tests a person's sound comes up to 2 s late
async def test_a_recording_goes_on_in_its_next_part(talking: Cluster) -> None:
    """Both parts of a recording have Ann, the persona and the words, by one clock."""
    agreed = {wire.ATTR_RECORD_CONSENT: "true"}
    async with talk(talking, "chef", record=True, participant_attributes=agreed) as room:
        session, spoken_s = room.session["id"], [await speaks(room.ann, 1)]
        await room.stands_by()
        await room.is_hosted(2)
        spoken_s.append(await speaks(room.ann, 2))
        await asyncio.sleep(1.0)
        is_shown = [each.attributes.get(wire.ATTR_RECORDING) for each in room.ann.personas]
    await poll_until(lambda: talking.slots_used() == 0)
    first, second = [await recorded(talking, session, generation) for generation in (1, 2)]

    assert is_shown == ["true"]
    for seed, (sound, words) in enumerate((first, second), start=1):
        (found_s, likeness), began_s = found_at_s(said_by_ann(seed), sound[0]), spoken_s[seed - 1]
        assert likeness > 0.4
        assert abs(words["started_s"] + found_s - began_s) < NEAR_S
        assert found_at_s(said_by_ann(3 - seed), sound[0])[1] < 0.2
        assert found_at_s(TONE, sound[1])[1] > 0.8
        assert {each["name"] for each in words["segments"]} == {"Chef"}
    ends_s = first[1]["started_s"] + first[1]["duration_s"]
    assert second[1]["started_s"] - ends_s < NEAR_S


def said_by_ann(seed: int) -> Samples:
    """Return what Ann says with a seed, at 48 kHz."""
    return np.repeat(noise(seed, 10, 24_000), 2)


async def recorded(
    cluster: Cluster, session: str, generation: int
) -> tuple[Samples, dict[str, Any]]:
    """Return the sound and the words of a part, once its file grows no more."""
    [path] = cluster.recordings.rglob(f"{session}/*-{generation}.ogg")
    await poll_until(lambda: time.time() - path.stat().st_mtime > SETTLED_S)
    return channels(path), json.loads(path.with_suffix(".json").read_text())


async def speaks(ann: Person, seed: int) -> float:
    """Say 0.8 s of noise; return when it began, in seconds of the epoch."""
    began_s = time.time()
    ann.speech = noise(seed, 10, 24_000)
    await eventually(lambda: ann.speech is None, "it was said")
    return began_s
