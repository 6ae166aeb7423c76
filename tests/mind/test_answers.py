"""A model's answer as servers really send it: cut off, doubled, or with its thoughts in it."""

import json
from typing import Any

import pytest

from harness.language_model import Reply, ScriptedModel, calls, raw, says, text
from tests.mind.conftest import Open, chat
from tests.mind.test_tools import weather, weather_server

NO_RETRY_WAIT = {"first_retry_s": 0.0, "last_retry_s": 0.0}
CUT_SAY = '{"text": "We open at nine. We close at 1'


def piece(delta: dict[str, Any], reason: str | None = None) -> bytes:
    """Return one server-sent event of an answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def call(name: str, arguments: str, **fields: Any) -> bytes:
    """Return a piece of one call, under the index 0 unless `fields` name another."""
    function = {"name": name, "arguments": arguments}
    return piece({"tool_calls": [{"index": 0, "function": function} | fields]})


ENDS = {"length": "mind_flood", None: "mind_nonsense"}


@pytest.mark.parametrize("reason", ENDS)
async def test_a_sentence_that_the_server_cut_off_is_not_said(
    open_room: Open, model: ScriptedModel, reason: str | None
) -> None:
    """Of an answer that broke off whole sentences are said alone: `1` was not `18:30`."""
    end = [piece({}, reason), b"data: [DONE]\n\n"] if reason else []
    model.reply(raw(call("say", CUT_SAY, id="c"), *end), says("Better."))
    async with open_room(**NO_RETRY_WAIT) as host:
        await host.ask("When?")
        assert host.sentences == ["We open at nine."] and host.troubles == [ENDS[reason]]
        await host.ask("Again?")
        assert host.sentences[1:] == ["Better."]


@pytest.mark.parametrize("reason", ENDS)
async def test_a_call_that_the_server_cut_off_is_not_made(
    open_room: Open, model: ScriptedModel, reason: str | None
) -> None:
    """A function is not called with the arguments that have not come."""
    end = [piece({}, reason), b"data: [DONE]\n\n"] if reason else []
    model.reply(raw(call("weather", "", id="c"), *end))
    async with weather_server() as (url, asked):
        tool = weather(url, parameters={"type": "object"})
        async with open_room(chat(tool)) as host:
            await host.ask("Snow?")
            assert host.tools == [] and host.troubles == [ENDS[reason]]
    assert asked == [] and len(model.requests) == 1


async def test_an_answer_without_a_reason_for_its_end_counts_where_it_is_whole(
    open_room: Open, model: ScriptedModel
) -> None:
    """A server may leave out `finish_reason`."""
    model.reply(raw(call("say", '{"text": "Hello."}', id="c"), b"data: [DONE]\n\n"))
    async with open_room() as host:
        await host.ask("Hi")
        assert host.sentences == ["Hello."] and host.troubles == []


OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
TWO_CALLS: dict[str, Reply] = {
    "no ids": raw(call("weather", OSLO), call("weather", ROME), piece({}, "tool_calls")),
    "empty ids": raw(
        call("weather", OSLO, id=""), call("weather", ROME, id=""), piece({}, "tool_calls")
    ),
    "one id": raw(
        call("weather", OSLO, id="x"),
        call("weather", ROME[:5], id="x", index=1),
        call("", ROME[5:], id="x", index=1),
        piece({}, "tool_calls"),
    ),
    "names again": raw(
        call("weather", OSLO[:5], id="x"),
        call("weather", OSLO[5:], id="x"),
        call("weather", ROME, id="y", index=1),
        call("weather", "", id="y", index=1),
        piece({}, "tool_calls"),
    ),
}


@pytest.mark.parametrize("reply", TWO_CALLS.values(), ids=TWO_CALLS.keys())
async def test_two_calls_at_once_get_their_own_results(
    open_room: Open, model: ScriptedModel, reply: Reply
) -> None:
    """Two calls stay two, each with an id and result of its own, whatever ids a server gives."""
    model.reply(reply, says("Snow."))
    async with weather_server() as (url, asked), open_room(chat(weather(url))) as host:
        await host.ask("Oslo or Rome?")
        assert host.tools == [("weather", True)] * 2 and host.sentences == ["Snow."]
    assert [query for _, query, *_ in asked] == [{"city": "Oslo"}, {"city": "Rome"}]
    _, _, asking, *results = model.requests[1]["messages"]
    ids = [each["id"] for each in asking["tool_calls"]]
    assert len(set(ids)) == 2 and [each["tool_call_id"] for each in results] == ids


@pytest.mark.parametrize(
    "reply", [text("It \ud83d snows."), calls(("say", '{"text": "It \ud83d snows."}'))]
)
async def test_half_an_emoji_is_not_said(
    open_room: Open, model: ScriptedModel, reply: Reply
) -> None:
    """A server may cut an emoji in two: a half is in no UTF-8, and no voice can say it."""
    model.reply(calls(("weather", {"city": "Oslo"})), reply)
    async with weather_server() as (url, _), open_room(chat(weather(url))) as host:
        await host.ask("Snow?")
        assert [each.split() for each in host.sentences] == [["It", "snows."]]


async def test_thoughts_are_not_said(open_room: Open, model: ScriptedModel) -> None:
    """Thoughts in the text after a result, as Qwen writes them, stay unsaid."""
    thoughts = "<think>Ann wants it. Keep it short. </think>It snows. <thi<nk>"
    model.reply(calls(("weather", {"city": "Oslo"})), text(thoughts))
    async with weather_server() as (url, _), open_room(chat(weather(url))) as host:
        await host.ask("Snow?")
        assert host.sentences == ["It snows.", "<thi<nk>"]


CALLS_OSLO = calls(("weather", {"city": "Oslo"}))
THINKS_AND_CALLS = raw(
    *(piece({"content": each}) for each in ("Ann wants ", "it. </thi", "nk>")),
    call("weather", OSLO, id="x"),
    piece({}, "tool_calls"),
)
UNMARKED = "It is winter. Keep it short. </think> It snows."


@pytest.mark.parametrize(
    ("first", "second", "sentences"),
    [
        (THINKS_AND_CALLS, text(UNMARKED), ["It snows."]),
        (THINKS_AND_CALLS, text("It snows. A lot"), ["It snows.", "A lot"]),
        (CALLS_OSLO, text("It is winter </think> It snows."), ["It snows."]),
        (CALLS_OSLO, text("It snows. <think> Or not."), ["It snows."]),
    ],
    ids=["unmarked", "unmarked before", "unmarked at last", "no end"],
)
async def test_thoughts_without_a_beginning_are_not_said(
    open_room: Open, model: ScriptedModel, first: Reply, second: Reply, sentences: list[str]
) -> None:
    """A model whose template begins its thoughts writes their ends alone (DeepSeek-R1, QwQ)."""
    model.reply(first, second)
    async with weather_server() as (url, _), open_room(chat(weather(url))) as host:
        await host.ask("Snow?")
        assert host.sentences == sentences and host.troubles == []


async def test_a_sentence_is_said_once_in_an_answer(open_room: Open, model: ScriptedModel) -> None:
    """A model that writes as text what it has `say` say, or says it again later, is heard once."""
    twice = raw(
        piece({"content": "It snows. "}),
        call("say", '{"text": "It snows. Take a coat."}', id="y"),
        piece({}, "tool_calls"),
    )
    model.reply(calls(("say", {"text": "One moment."}), ("weather", {"city": "Oslo"})), twice)
    async with weather_server() as (url, _), open_room(chat(weather(url))) as host:
        await host.ask("Snow?")
        assert host.sentences == ["One moment.", "It snows.", "Take a coat."]


async def test_what_two_calls_say_is_not_joined(open_room: Open, model: ScriptedModel) -> None:
    """Two calls of `say` say a sentence each, as they have no space between them."""
    model.reply(calls(("say", {"text": "We open at 9."}), ("say", {"text": "Bye"})))
    async with open_room() as host:
        await host.ask("When?")
        assert host.sentences == ["We open at 9.", "Bye"]


async def test_a_sentence_that_stands_twice_is_said_twice(
    open_room: Open, model: ScriptedModel
) -> None:
    """What a model says twice in one breath is meant so."""
    model.reply(says("Knock, knock. Knock, knock. Anybody home?"))
    async with open_room() as host:
        await host.ask("Joke?")
        assert host.sentences == ["Knock, knock.", "Knock, knock.", "Anybody home?"]


async def test_the_last_call_of_the_model_can_only_speak(
    open_room: Open, model: ScriptedModel
) -> None:
    """No function is called whose result nobody would read: the last request offers none."""
    cities = iter("abcdefg")
    model.otherwise = lambda asked: (
        calls(("weather", {"city": next(cities)})) if len(asked["tools"]) > 2 else says("Snow.")
    )
    async with weather_server() as (url, asked), open_room(chat(weather(url)), rounds=3) as host:
        await host.ask("Snow?")
        assert host.sentences == ["Snow."]
    assert len(asked) == 2 and len(model.requests) == 3
