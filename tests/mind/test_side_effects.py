"""What one answer leaves behind: for the next answer, for other rooms, for the server."""

import asyncio

import pytest
from structlog.testing import capture_logs

from harness.language_model import ScriptedModel, calls, raw, says, text
from harness.servers import free_port
from mind.events import Unanswered
from tests.mind.conftest import CHEF, Host, Open, chat
from tests.mind.test_tools import weather, weather_server

LATER = {"first_retry_s": 60.0, "last_retry_s": 60.0}


async def other_room_answers(host: Host, model: ScriptedModel) -> bool:
    """Tell whether another room of the worker is answered."""
    other = Host(host.minds, host.minds.open_room([CHEF]))
    serving = asyncio.create_task(other.serve())
    model.replies = [says("Noon.")]
    await other.ask("What time is it?")
    await other.mind.aclose()
    await serving
    return other.sentences == ["Noon."]


OF_ONE_ROOM = {"a request": 400, "too long": 413, "an answer": raw(b"data: {nonsense\n\n")}
OF_ALL_ROOMS = {"key": 401, "model": 404, "load": 429, "failure": 503}


@pytest.mark.parametrize("reply", OF_ONE_ROOM.values(), ids=OF_ONE_ROOM.keys())
async def test_what_fails_in_one_room_stops_no_other(
    open_room: Open, model: ScriptedModel, reply: int
) -> None:
    """A request that is refused for what is in it bars the model for its own room alone."""
    model.reply(reply)
    async with open_room(**LATER) as host:
        for _ in range(3):
            await host.ask("Hi")
        assert len(model.requests) == 1 and len(host.troubles) == 1
        assert await other_room_answers(host, model)


@pytest.mark.parametrize("reply", OF_ALL_ROOMS.values(), ids=OF_ALL_ROOMS.keys())
async def test_a_server_that_fails_is_left_alone_by_all_rooms(
    open_room: Open, model: ScriptedModel, reply: int
) -> None:
    """A server that takes no request is asked by no room until the wait is over."""
    model.reply(reply)
    async with open_room(**LATER) as host:
        await host.ask("Hi")
        assert not await other_room_answers(host, model)


async def test_slow_functions_are_not_told_as_a_slow_model(
    open_room: Open, model: ScriptedModel
) -> None:
    """Functions that use up an answer's time bar the model for nobody, and are told as it is."""
    model.reply(calls(("weather", {"city": "Slow"})))
    async with weather_server() as (url, _):
        mind = chat(weather(url))
        async with open_room(mind, answer_within_s=0.5, **LATER) as host:
            await host.ask("Hi")
            assert host.troubles == ["mind_late"]
            assert host.minds.retry.ready
            assert await other_room_answers(host, model)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_says_when_it_may_be_asked_again(
    open_room: Open, model: ScriptedModel, status: int
) -> None:
    """`Retry-After` is waited for, however short the own wait would be."""
    model.headers["Retry-After"] = "30"
    model.reply(status, says("Noon."))
    async with open_room(first_retry_s=0.0, last_retry_s=0.0) as host:
        await host.ask("Hi")
        await host.ask("Hi?")
        assert len(model.requests) == 1
        model.headers["Retry-After"] = "0"


async def test_an_answer_that_was_broken_off_leaves_its_calls_known(
    open_room: Open, model: ScriptedModel
) -> None:
    """After an interruption the model reads which functions it has called already."""
    model.reply(calls(("weather", {"city": "Oslo"}), ("weather", {"city": "Slow"})))
    async with weather_server() as (url, asked), open_room(chat(weather(url))) as host:
        host.mind.heard("Ann", "Order two.", final=True)
        await host.until(lambda: host.tools == [("weather", True)] and len(asked) == 2)
        await host.ask("Please.")
    question = model.requests[-1]["messages"][1]["content"]
    assert 'Chef (function): weather {"city": "Oslo"} → done\n' in question
    assert 'Chef (function): weather {"city": "Slow"} → broken off\n' in question


async def test_a_filler_is_no_answer_to_a_typed_line(open_room: Open, model: ScriptedModel) -> None:
    """Who typed a line is told that it has no answer, also after *One moment*."""
    model.reply(calls(("weather", {"city": "Slow"})), text(""))
    async with weather_server() as (url, _):
        tool = weather(url, within_s=0.3)
        async with open_room(chat(tool, fillers=["One moment."]), filler_after_s=0.05) as host:
            host.mind.typed("Ann", "Snow?", "ann")
            await host.mind.settle()
            assert host.sentences == ["One moment."]
            assert Unanswered("ann") in host.events


async def test_a_sound_without_a_word_breaks_off_no_answer(
    open_room: Open, model: ScriptedModel
) -> None:
    """A recogniser's `…` for a cough is neither a question nor an interruption."""
    model.reply(says("It is noon. " * 5))
    async with open_room(slow=True) as host:
        host.mind.heard("Ann", "What time is it?", final=True)
        await host.until(lambda: host.lines)
        host.mind.heard("Ben", " … ", final=False)
        await host.ask(" ... ", "Ben")
        assert host.withdrawn == set() and len(model.requests) == 1


async def test_the_log_says_what_failed(open_room: Open, model: ScriptedModel) -> None:
    """The log has the status of a refusal, and the cause of a lost connection."""
    model.reply(401)
    with capture_logs() as logs:
        async with open_room() as host:
            await host.ask("Hi")
        async with open_room(url=f"http://127.0.0.1:{free_port()}/v1") as host:
            await host.ask("Hi")
    refused, away = [each for each in logs if each["event"] == "mind_trouble"]
    assert refused["status"] == 401 and away["cause"] == "ConnectionRefusedError"
