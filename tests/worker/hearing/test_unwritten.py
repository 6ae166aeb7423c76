"""Rooms in which nobody's words are written, and what is told of that."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from harness.person import eventually, person
from harness.recordings import recording
from harness.rooms import all_free, asking_for, in_talk
from harness.stack import Stack, start_stack

WORDS_WITHIN_S = 90.0  # Whisper's process comes after everything else that runs


async def people_words(stack: Stack) -> dict[str, Any]:
    """Return what `/api/config` says of people's words."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        return (await http.get(f"{stack.url}/api/config")).json()["people_words"]


def log_of(stack: Stack) -> str:
    """Return the worker's log so far."""
    return (stack.folder / "worker.log").read_text()


async def test_with_stt_off_nothing_is_written(echo: Stack) -> None:
    """With `STT=off` no words are written, and `/api/config` says why."""
    async with person(echo.url, asking_for("chef")) as ann:
        await in_talk(ann)
        ann.speech = recording("opening")
        await eventually(lambda: ann.speech is None, "it is said")
        await asyncio.sleep(1.0)

        assert not ann.words
    assert await people_words(echo) == {
        "written": False,
        "model": "",
        "reason": "The words of people are not written: STT is off.",
    }
    await all_free(echo)


async def test_without_whispers_model_calls_go_on(tmp_path: Path) -> None:
    """Where Whisper's model is missing, calls go on, and log and status say so in one sentence."""
    nowhere = {"hf_home": str(tmp_path / "hub"), "hf_endpoint": "http://127.0.0.1:9"}
    with start_stack(tmp_path, model="echo", capacity=1, stt="auto", **nowhere) as stack:
        async with person(stack.url, asking_for("chef")) as ann:
            await in_talk(ann)
            ann.tone_hz = 400.0
            who = ann.personas[0].identity
            await eventually(lambda: ann.rms(who) > 0.05, "the echo is heard")
        await eventually(
            lambda: "not in the hub's cache" in log_of(stack), "the log says so", WORDS_WITHIN_S
        )
        words = await people_words(stack)
        while words["reason"].startswith("loading"):  # a heartbeat says it later
            await asyncio.sleep(0.1)
            words = await people_words(stack)

    assert not words["written"]
    assert words["reason"].startswith("The words of people are not written: Systran/faster-whisper")
    assert log_of(stack).count("The words of people are not written") == 1
