"""LiveKit's webhooks: those without LiveKit's signature are refused, and a person's gets a host."""

import json
import socket
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs, spec_key
from tests.conftest import SettingsFor, StartLiveKit
from tests.token_service.players import (
    agent_token,
    are_alone,
    beat,
    dispatched,
    eventually,
    joined,
    person_token,
    served,
    signature,
)
from token_service.app import create_app
from token_service.fleet.pulse import Pulse
from token_service.rooms import reconciler

CHEF = Persona(name="chef", label="Chef")


def joining(room: str, **participant: Any) -> bytes:
    """Return the body of LiveKit's event `participant_joined`."""
    event = {
        "event": "participant_joined",
        "room": {"name": room},
        "participant": {"identity": "ann"} | participant,
    }
    return json.dumps(event, ensure_ascii=False).encode()


async def test_a_signed_webhook_is_taken(http: httpx.AsyncClient, livekit: LiveKit) -> None:
    """A webhook that LiveKit signed is accepted, and the signature covers its raw bytes."""
    body = joining("küche")
    answer = await http.post(
        "/webhook", content=body, headers={"Authorization": signature(body, livekit)}
    )

    assert answer.status_code == 204


@pytest.mark.parametrize("forgery", ["", "nonsense", "of another body"])
async def test_a_webhook_without_its_signature_is_refused(
    http: httpx.AsyncClient, livekit: LiveKit, forgery: str
) -> None:
    """A webhook with no signature, an invalid one or that of another body is refused with 401."""
    signed = signature(b"{}", livekit) if forgery == "of another body" else forgery
    answer = await http.post("/webhook", content=joining("r"), headers={"Authorization": signed})

    assert (answer.status_code, answer.json()["error"]) == (401, "bad_signature")


async def test_unsigned_webhooks_are_counted(http: httpx.AsyncClient, livekit: LiveKit) -> None:
    """After twenty unsigned webhooks in a minute an address gets 429; signed ones pass."""
    a_persons = person_token(livekit, "r")
    forged = [await http.post("/webhook", headers={"Authorization": a_persons}) for _ in range(21)]
    body = joining("r")
    signed = await http.post(
        "/webhook", content=body, headers={"Authorization": signature(body, livekit)}
    )

    assert [answer.status_code for answer in forged] == [401] * 20 + [429]
    assert signed.status_code == 204


async def test_livekits_own_webhook_leads_to_a_dispatch(
    settings_for: SettingsFor,
    start_livekit: StartLiveKit,
    own_redis_url: str,
    redis: Redis,
    room: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LiveKit's webhook for a person who joins leads to a dispatch, without the poll."""
    monkeypatch.setattr(reconciler, "POLL_PERIOD_S", 3600.0)
    await eventually(Pulse(redis).is_steady, "redis is no new one")
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with start_livekit(webhook_url=f"{url}/webhook") as livekit:
            settings = settings_for(livekit=livekit, redis_url=own_redis_url)
            async with (
                served(create_app(settings), listening),
                httpx.AsyncClient(base_url=url) as http,
            ):
                answer = await http.post("/token", json={"room_name": room})
                async with joined(livekit, answer.json()["participant_token"]):
                    await eventually(
                        lambda: dispatched(livekit, room), "the webhook led to a dispatch"
                    )
                    specs = await dispatched(livekit, room)

    assert [(spec.room, spec.generation) for spec in specs] == [(room, 1)]


async def test_a_persona_of_an_older_host_is_removed_as_it_joins(
    settings_for: SettingsFor,
    start_livekit: StartLiveKit,
    own_redis_url: str,
    redis: Redis,
    room: str,
) -> None:
    """A persona that comes back after its host was replaced is removed; the present one's stays."""
    await beat(redis, hosts={room: 2})
    spec = RoomSpec(room=room, generation=2, worker="worker", personas=persona_specs([CHEF]))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with start_livekit(webhook_url=f"{url}/webhook") as livekit:
            app = create_app(settings_for(livekit=livekit, redis_url=own_redis_url))
            async with (
                served(app, listening),
                joined(livekit, agent_token(livekit, room, "agent-now", 2)),
            ):
                await redis.set(spec_key(room), spec.model_dump_json())
                async with joined(livekit, agent_token(livekit, room, "agent-before", 1)):
                    await eventually(
                        lambda: are_alone(livekit, room, "agent-now"), "the older one is removed"
                    )


async def test_the_poll_alone_leads_to_a_dispatch(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """The poll leads to a dispatch when no webhook arrives."""
    await beat(redis)
    await http.post("/token", json={"room_name": room})
    async with joined(livekit, person_token(livekit, room)):
        await eventually(lambda: dispatched(livekit, room), "the poll led to a dispatch")


@pytest.mark.parametrize("kind", ["AGENT", "EGRESS"])
async def test_only_a_persons_webhook_reconciles_the_room(
    http: httpx.AsyncClient,
    livekit: LiveKit,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A webhook reconciles the room if a person joined, and not for an agent or egress."""
    looked: list[str] = []

    async def look(self: reconciler.Reconciler, room: str) -> None:
        looked.append(room)

    monkeypatch.setattr(reconciler.Reconciler, "reconcile", look)
    for who in (kind, "STANDARD"):
        body = joining(who.lower(), kind=who)
        await http.post(
            "/webhook", content=body, headers={"Authorization": signature(body, livekit)}
        )

    assert looked == ["standard"]
