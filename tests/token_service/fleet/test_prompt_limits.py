"""Prompts with more tokens than a worker's model reads are refused before a person joins."""

import base64
import json
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sentencepiece import SentencePieceProcessor
from structlog.testing import capture_logs

from harness.servers import LiveKit
from protocol.prompt import digest_of, marked, tokenizer_key
from tests.token_service.players import asking, beat, dispatched, joined, opened, spec_of
from token_service.service import Service
from training.tokenizer import WORDS, pieces_of, tokenizer_of

TOKENIZER = tokenizer_of(pieces_of(WORDS))  # reads single letters of a word that it does not know
LETTERS = tokenizer_of(pieces_of(()))
LONG = "we sing about the wind and the rain in the summer " * 12


def count(prompt: str, tokenizer: bytes = TOKENIZER) -> int:
    """Return the number of a prompt's tokens, as the worker counts them."""
    return len(SentencePieceProcessor(model_proto=tokenizer).encode(marked(prompt)))


def refusal(limit: int, tokens: int = count(LONG.strip()), name: str = "chef") -> str:
    """Return the message about a prompt that is too long."""
    return (
        f"persona.prompt: {name}'s has {tokens} tokens with its marks; expected at most {limit}, "
        "which is what the model here reads: shorten it"
    )


async def reads(
    redis: Redis, limit: int, worker_id: str = "worker", tokenizer: bytes = TOKENIZER
) -> None:
    """Write the heartbeat of a worker that reads prompts of up to `limit` tokens."""
    digest = digest_of(tokenizer)
    await redis.set(tokenizer_key(digest), base64.b64encode(tokenizer))
    fields: dict[str, Any] = {"prompt_tokens": limit, "tokenizer": digest, "model_prompts": True}
    await beat(redis, worker_id, **fields)


def token_body(prompt: str) -> dict[str, Any]:
    """Return a body of `POST /token` that asks for a chef with this prompt."""
    metadata = json.dumps({"persona": {"name": "chef", "prompt": prompt}})
    return {"room_config": {"agents": [{"agent_name": "moshi", "metadata": metadata}]}}


def session_body(prompt: str) -> dict[str, Any]:
    """Return a body of `POST /sessions` that asks for a chef with this prompt."""
    return {"personas": [{"name": "chef", "prompt": prompt}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [("/token", token_body), ("/sessions", session_body)],
    ids=["token", "session"],
)
async def test_a_prompt_that_is_too_long_is_refused_with_numbers(
    http: httpx.AsyncClient, redis: Redis, path: str, body: Any
) -> None:
    """A prompt one token over the limit is refused with both numbers; one at the limit is not."""
    await reads(redis, count(LONG.strip()) - 1)
    refused = await http.post(path, json=body(LONG))
    await reads(redis, count(LONG.strip()))
    good = await http.post(path, json=body(LONG))

    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        refusal(count(LONG.strip()) - 1),
    )
    assert good.status_code == 201, good.text


async def test_an_added_personas_prompt_is_counted(http: httpx.AsyncClient, redis: Redis) -> None:
    """The prompt of a persona that is added to a session is checked as well."""
    await reads(redis, 100)
    session = await opened(http, **session_body("be kind"))
    answer = await http.post(f"/sessions/{session['id']}/personas", json=session_body(LONG))

    assert (answer.status_code, answer.json()["detail"]) == (400, refusal(100))


async def test_every_worker_has_to_be_able_to_read_it(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A prompt has to be short enough for every worker, each with its own tokenizer."""
    await reads(redis, 150)
    good = await http.post("/sessions", json=session_body(LONG))
    await reads(redis, 150, "second", LETTERS)
    refused = await http.post("/sessions", json=session_body(LONG))

    assert good.status_code == 201, good.text
    letters = count(LONG.strip(), LETTERS)
    assert letters > 150 >= count(LONG.strip())
    assert refused.json()["detail"] == refusal(150, letters)


async def test_a_model_without_prompts_has_no_limit(http: httpx.AsyncClient, redis: Redis) -> None:
    """Without a model that reads prompts, none is too long."""
    await beat(redis)

    assert (await http.post("/sessions", json=session_body(LONG))).status_code == 201
    assert (await http.get("/api/config")).json()["limits"]["prompt_tokens"] is None


async def test_the_configuration_has_the_smallest_limit(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """`/api/config` has the smallest limit of the workers."""
    await reads(redis, 500)
    await reads(redis, 200, "second")

    assert (await http.get("/api/config")).json()["limits"]["prompt_tokens"] == 200


async def test_a_tokenizer_that_does_not_match_its_digest_is_not_used(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A tokenizer in redis that does not match its digest is logged, and checks no prompt."""
    await reads(redis, 100)
    await redis.set(tokenizer_key(digest_of(TOKENIZER)), base64.b64encode(LETTERS))
    with capture_logs() as lines:
        answer = await http.post("/sessions", json=session_body(LONG))

    assert answer.status_code == 201, answer.text
    assert "tokenizer_unreadable" in [line["event"] for line in lines]


async def test_a_dispatch_with_a_long_prompt_is_not_imported(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A dispatch at LiveKit whose prompt is too long is refused, and the log has the numbers."""
    await reads(redis, 100)
    metadata = json.dumps({"persona": {"name": "chef", "prompt": LONG}})
    async with asking(livekit, room, metadata):
        with capture_logs() as lines:
            await service.reconciler.reconcile(room)

        refused = [line for line in lines if line["event"] == "dispatch_refused"]
        assert [line["expected"] for line in refused] == [refusal(100)]
        assert await dispatched(livekit, room) == []


async def test_a_waiting_session_with_a_long_prompt_is_not_dispatched(
    http: httpx.AsyncClient, service: Service, redis: Redis, livekit: LiveKit
) -> None:
    """A waiting session whose prompt is too long for the worker is not dispatched to it."""
    session = await opened(http, **session_body(LONG), wait=True)
    async with joined(livekit, session["participant_token"]):
        await reads(redis, 100)
        await service.reconciler.reconcile(session["room"])
        waiting = await service.events.so_far(session["room"])

        assert await dispatched(livekit, session["room"]) == []
        assert not (await spec_of(redis, session["room"])).worker
    assert refusal(100) in str(waiting)
