"""People's words in a real room, by a small recogniser in Kyutai's format on the engine."""

import asyncio
from collections.abc import Generator

import httpx
import pytest

from harness.person import eventually, person
from harness.rooms import all_free, asking_for, in_talk, room_events
from harness.stack import Stack, start_stack
from tests.worker.room.test_people_words import WORDS_WITHIN_S, says, words_events, words_streams
from token_service.http.token_request import fresh_name

# Recognition comes after the voices on the engine: beside three processes of tests it has no turn.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]  # the worker imports torch first


@pytest.fixture(scope="module")
def with_recogniser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo, and with a recogniser of random weights on the engine."""
    from tests.engine.recognition.folder import recogniser_folder  # imports torch, for 4 s

    folder = recogniser_folder(tmp_path_factory.mktemp("models") / "stt", context=40)
    with start_stack(
        tmp_path_factory.mktemp("with_recogniser"), model="echo", capacity=3, stt=str(folder)
    ) as stack:
        yield stack


async def test_a_persons_words_grow_and_end_with_the_person(with_recogniser: Stack) -> None:
    """A speaking person's words come as interim versions, and as final once the person has left."""
    room = fresh_name("room")
    async with person(with_recogniser.url, asking_for("chef", room_name=room)) as ann:
        async with person(with_recogniser.url, {"room_name": room}) as bob:
            identity = bob.room.local_participant.identity
            await in_talk(bob)
            async with asyncio.timeout(WORDS_WITHIN_S):  # a busy engine leaves sound out
                while len(words_streams(ann, bob)) <= 3:
                    await says(bob, "opening")
        await eventually(
            lambda: any(each.identity == identity for each in ann.messages), "the final version"
        )
        await asyncio.sleep(0.5)
        events = words_events(await room_events(with_recogniser, room), identity)

    assert [each.final for each in events][-1]
    assert not events[0].final
    last = events[-1]
    assert last.text == " ".join(each.text for each in last.words)
    starts_s = [each.start_s for each in last.words]
    assert starts_s == sorted(starts_s)
    assert last.start_s <= starts_s[0] <= starts_s[-1] <= last.end_s
    await all_free(with_recogniser)


async def test_the_status_names_the_recogniser(with_recogniser: Stack) -> None:
    """`/status` names the recogniser's model and how many people it can listen to at a time."""
    async with httpx.AsyncClient(trust_env=False) as http:
        [worker] = (await http.get(f"{with_recogniser.url}/status")).json()["workers"]

    assert worker["stt"]["state"] == "ready"
    assert worker["stt"]["model"].endswith("/stt")
    assert "7 people" in worker["stt"]["reason"]
