"""Failures of a model: the voice goes on, and the room gets one warning."""

import asyncio
import gzip
import json
import logging
import time

import pytest

from harness.language_model import Reply, ScriptedModel, calls, hang, raw, says
from harness.servers import free_port
from tests.mind.conftest import CHEF, KEY, WITHIN_S, Host, Open

NO_RETRY_WAIT = {"first_retry_s": 0.0, "last_retry_s": 0.0}
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "blah "}}]}\n\n'


def data(fields: object) -> bytes:
    """Return one server-sent event."""
    return f"data: {json.dumps(fields)}\n\n".encode()


async def ask_twice(host: Host) -> None:
    """Ask ask_twice."""
    for _ in range(2):
        host.mind.heard("Ann", "What time is it?", final=True)
        async with asyncio.timeout(20):
            await host.mind.settle()


async def test_an_unreachable_model_is_one_warning(open_room: Open) -> None:
    """A model that cannot be reached is one warning, `mind_away`."""
    async with open_room(url=f"http://127.0.0.1:{free_port()}/v1", **NO_RETRY_WAIT) as host:
        await ask_twice(host)
        assert host.troubles == ["mind_away"] and host.sentences == []


async def test_a_call_ends_at_its_time_limit(open_room: Open, model: ScriptedModel) -> None:
    """A call ends at its time limit, however slowly bytes arrive."""
    model.reply(hang, raw(b": wait\n\n", forever=True, pause_s=0.05))
    begun_s = time.monotonic()
    async with open_room(call_within_s=0.5, **NO_RETRY_WAIT) as host:
        await ask_twice(host)
        assert host.troubles == ["mind_slow"]
    assert time.monotonic() - begun_s < 5.0


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "mind_refused"), (404, "mind_refused"), (429, "mind_refused"), (500, "mind_away")],
)
async def test_a_servers_refusal_is_one_warning(
    open_room: Open, model: ScriptedModel, status: int, code: str
) -> None:
    """A refusal of the model's server is one warning, one request each time, without its words."""
    model.reply(status, status)
    async with open_room(**NO_RETRY_WAIT) as host:
        await ask_twice(host)
        assert host.troubles == [code]
        assert KEY not in repr(host.events)
    assert len(model.requests) == 2


NONSENSE = {
    "html": raw(b"<html>Welcome!</html>\n\n"),
    "nothing": raw(),
    "broken json": raw(b"data: {nonsense\n\n"),
    "no utf-8": raw(b'data: {"choices": "\xff\xfe"}\n\n'),
    "another object": raw(data({"answer": 42})),
    "wrong types": raw(data({"choices": "none"})),
    "no delta": raw(data({"choices": [{"index": 0}]})),
    "calls of wrong type": raw(data({"choices": [{"delta": {"tool_calls": [7]}}]})),
    "a list": raw(data([1, 2])),
    "null": raw(data(None)),
    "broken arguments": calls(("say", "text = hello")),
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_is_one_warning(open_room: Open, model: ScriptedModel, reply: Reply) -> None:
    """An answer that cannot be read is not said, and a later good one is."""
    model.reply(reply, reply, says("Better."))
    async with open_room(**NO_RETRY_WAIT) as host:
        await ask_twice(host)
        assert host.troubles == ["mind_nonsense"] and host.sentences == []
        await host.ask("Again?")
        assert host.sentences == ["Better."]


async def test_an_error_within_the_stream_is_a_refusal(
    open_room: Open, model: ScriptedModel
) -> None:
    """An error in the stream is a refusal, without the server's words."""
    model.reply(raw(data({"error": {"message": f"bad {KEY}"}})))
    async with open_room(**NO_RETRY_WAIT) as host:
        await host.ask("Hi")
        assert host.troubles == ["mind_refused"] and KEY not in repr(host.events)


FLOODS = {
    "pieces": raw(CHUNK * 100, forever=True),
    "one line": raw(b"data: " + b"x" * 60_000, b"y" * 60_000, forever=True),
    "calls": calls(*[("leave_to_voice", {})] * 500),
    "arguments": calls(("say", {"x": "y" * 100_000}), piece=5000),
}


@pytest.mark.parametrize("reply", FLOODS.values(), ids=FLOODS.keys())
async def test_an_endless_answer_is_ended(
    open_room: Open, model: ScriptedModel, reply: Reply
) -> None:
    """An endless answer is ended by its length, not by its time limit."""
    model.reply(reply, says("Better."))
    async with open_room(call_within_s=WITHIN_S, answer_within_s=WITHIN_S) as host:
        await host.ask("Hi")
        assert host.troubles == ["mind_flood"] and host.sentences == []
        await host.ask("Again?")
        assert host.sentences == ["Better."]


async def test_an_answer_that_does_not_end_is_cut(open_room: Open, model: ScriptedModel) -> None:
    """A long answer is said up to the allowed length."""
    model.reply(says("And so on it goes. " * 200, piece=100))
    async with open_room(answer_characters=100) as host:
        await host.ask("Hi")
        assert len(host.sentences) == 5 and host.troubles == ["mind_flood"]


async def test_compressed_bytes_are_not_read(open_room: Open, model: ScriptedModel) -> None:
    """A compressed answer is not read, and not told as a long one."""
    model.headers["Content-Encoding"] = "gzip"
    model.reply(raw(gzip.compress(CHUNK)))
    async with open_room() as host:
        await host.ask("Hi")
        assert host.troubles == ["mind_nonsense"]


async def test_a_server_that_failed_is_left_alone_for_a_while(
    open_room: Open, model: ScriptedModel
) -> None:
    """After a failure no request is made until the wait is over."""
    model.reply(500, says("Back."))
    async with open_room(first_retry_s=0.5) as host:
        for _ in range(20):
            await host.ask("Are you there?")
        assert len(model.requests) == 1 and host.troubles == ["mind_away"]
        await asyncio.sleep(0.5)
        await host.ask("And now?")
        assert host.sentences == ["Back."]


async def test_calls_a_minute_are_limited(open_room: Open, model: ScriptedModel) -> None:
    """Calls over the limit of a minute are not made, and are one warning."""
    async with open_room(calls_per_minute=3) as host:
        for _ in range(6):
            await host.ask("And now?")
        assert len(model.requests) == 3 and host.troubles == ["mind_busy"]


async def test_neither_key_nor_words_are_logged(
    open_room: Open,
    model: ScriptedModel,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No log has the key, people's words or answers."""
    caplog.set_level(logging.DEBUG)
    model.reply(says("Pineapple."), 401, raw(data({"error": {"message": KEY}})))
    async with open_room(**NO_RETRY_WAIT) as host:
        for _ in range(3):
            await host.ask("Tell me about rhubarb")
    logged = caplog.text + "".join(capsys.readouterr())
    assert "mind_trouble" in logged
    for secret in (KEY, "rhubarb", "Pineapple"):
        assert secret not in logged


async def test_a_model_is_loaded_while_a_room_waits(open_room: Open, model: ScriptedModel) -> None:
    """A load that takes longer than an answer may is not broken off with the answer."""
    model.loads_s = 1.5
    model.otherwise = lambda _: says("It is noon.")
    async with open_room(call_within_s=0.2, **NO_RETRY_WAIT) as host:
        await ask_twice(host)
        assert host.troubles == ["mind_slow"] and host.sentences == []
        async with asyncio.timeout(20):
            await host.minds.awake()
        await host.ask("What time is it?")
        assert host.sentences == ["It is noon."]
    assert len(model.wakes) == 1


async def test_a_model_that_went_to_sleep_in_a_call_is_woken(
    open_room: Open, model: ScriptedModel
) -> None:
    """Ollama unloads a model after five minutes: the question that finds it so is asked in vain."""
    model.otherwise = lambda _: says("It is noon.")
    async with open_room(call_within_s=0.2, wake_after_s=0.0, **NO_RETRY_WAIT) as host:
        await host.minds.awake()
        model.loads_s = 1.0
        await host.ask("What time is it?")
        assert host.troubles == ["mind_slow"]
        async with asyncio.timeout(20):
            await host.minds.awake()
        await host.ask("What time is it?")
        assert host.sentences == ["It is noon."]


async def test_a_model_that_answered_lately_is_not_woken(
    open_room: Open, model: ScriptedModel
) -> None:
    """Each request costs something at a cloud: one for many rooms, none for fixed lines."""
    async with open_room() as host:
        await host.minds.awake()
        await host.ask("Hi there")
        for _ in range(3):
            await host.minds.open_room([CHEF]).aclose()
        await host.minds.awake()
    assert len(model.wakes) == 1


async def test_nothing_is_lost_where_a_model_cannot_be_woken(open_room: Open) -> None:
    """Nothing listens: that is told when somebody asks, and not before."""
    async with open_room(url=f"http://127.0.0.1:{free_port()}/v1", **NO_RETRY_WAIT) as host:
        async with asyncio.timeout(20):
            await host.minds.awake()
        assert host.troubles == []
        await ask_twice(host)
        assert host.troubles == ["mind_away"]
