"""Guest links: each is signed for one session, and ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpx
import jwt
import pytest
from livekit import rtc
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.settings import Settings
from protocol.room_spec import RoomSpec
from tests.token_service.auth.callers import Keys, app, bearer, refused
from tests.token_service.players import (
    are_alone,
    beat,
    eventually,
    identities,
    joined,
    person_token,
    spec_of,
)
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope
from token_service.auth.guest_links import GuestLinks
from token_service.auth.rate_limit import KEY_PREFIX
from token_service.rooms.admission import AdmissionRequest, RoomAdmission
from token_service.rooms.issued_tokens import REVOKED, TOKENS_KEY


class Party:
    """A session of the caller `shop`, who invites guests."""

    def __init__(self, http: httpx.AsyncClient, shop: dict[str, str], said: dict[str, Any]) -> None:
        self.http, self.shop, self.room = http, shop, said["room"]
        self.path = f"/sessions/{said['id']}"

    async def invite(self, **asked: int) -> dict[str, Any]:
        """Return a new guest link."""
        answer = await self.http.post(f"{self.path}/guests", headers=self.shop, json=asked)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def request_token(self, link: dict[str, Any], **asked: Any) -> httpx.Response:
        """Ask for a token as a guest with this link."""
        return await self.http.post("/token", headers=bearer(link["bearer"]), json=asked)


@pytest.fixture
async def party(settings: Settings, redis: Redis, tmp_path: Any) -> AsyncGenerator[Party]:
    """Open a session for `shop`, with the identity `ann`."""
    await beat(redis)
    path = tmp_path / "keys.toml"
    key, stored = make_key("shop", frozenset(Scope))
    add_key(path, stored)
    keyed = settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": path})
    async with app(keyed) as http:
        asked = {"identity": "ann", "personas": ["chef"]}
        said = (await http.post("/sessions", headers=bearer(key), json=asked)).json()
        yield Party(http, bearer(key), said)


async def test_a_guest_gets_a_token_for_the_room(party: Party, settings: Settings) -> None:
    """A guest link gives a token for its session's room, with a guest's identity and name."""
    answer = await party.request_token(await party.invite(), participant_name="Gus")
    secret = settings.livekit_api_secret.get_secret_value()
    claims = jwt.decode(answer.json()["participant_token"], secret, algorithms=["HS256"])

    assert answer.status_code == 201
    assert (claims["video"]["room"], claims["name"]) == (party.room, "Gus")
    assert claims["sub"].startswith("guest-")


async def test_a_link_is_for_one_room(party: Party) -> None:
    """A guest link is refused for any room but its session's."""
    answer = await party.request_token(await party.invite(), room_name="another")

    assert refused(answer) == (403, "not_yours")


async def test_a_session_admits_max_people(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit
) -> None:
    """A room holds `max_people`: a guest waits until one leaves, a person inside does not."""
    await beat(redis)
    asked = {"max_people": 2, "identity": "ann"}
    session = (await http.post("/sessions", json=asked)).json()
    link = (await http.post(f"/sessions/{session['id']}/guests")).json()
    gus, gil = [
        (await http.post("/token", headers=bearer(link["bearer"]))).json()["participant_token"]
        for _ in range(2)
    ]
    async with joined(livekit, session["participant_token"]):
        async with joined(livekit, gus):
            late = await http.post("/token", headers=bearer(link["bearer"]))
            again = {"room_name": session["room"], "participant_identity": "ann"}
            ann = await http.post("/token", json=again)
            with pytest.raises(rtc.ConnectError):
                async with joined(livekit, gil):
                    pass

        assert (refused(late), ann.status_code) == ((503, "room_full"), 201)
        assert late.json()["detail"].endswith(": max_people=2.")
        await eventually(lambda: are_alone(livekit, session["room"], "ann"), "the guest has left")
        async with joined(livekit, gil):
            assert len(await identities(livekit, session["room"])) == 2


async def test_links_store_nothing_in_redis(party: Party, redis: Redis) -> None:
    """A guest link stores nothing in redis, apart from the counts of requests."""

    async def stored() -> set[str]:
        return {key for key in await redis.keys() if not key.startswith(KEY_PREFIX)}

    before = await stored()
    for _ in range(20):
        await party.invite(lives_s=86_400)

    assert await stored() == before


async def test_guests_requests_are_counted_for_their_link(party: Party, redis: Redis) -> None:
    """The token requests of guests are counted for their link."""
    link = await party.invite()
    for _ in range(3):
        await party.request_token(link)
    of_link = f"*/caller/guest {link['id']}/*"
    counted = [key for key in await redis.keys(f"moshi:rate{of_link}")]

    assert [await redis.get(key) for key in counted] == ["3"]


async def test_a_link_ends(party: Party, redis: Redis, settings: Settings) -> None:
    """A guest link ends after `lives_s`, and an expired one is refused with 401."""
    now_s = int(time.time())
    link = await party.invite(lives_s=30)
    expired, _ = GuestLinks(settings).sign(await spec_of(redis, party.room), now_s - 1)

    assert 28 <= link["ends_at_s"] - now_s <= 32
    assert refused(await party.request_token({"bearer": expired})) == (401, "unauthorized")


async def test_a_guest_cannot_take_anothers_identity(party: Party) -> None:
    """A guest may reuse an identity of the same link, and is refused one that another token has."""
    # LiveKit would remove the first participant when a second one of its identity joins.
    link, other = await party.invite(), await party.invite()
    answers = [
        await party.request_token(link, participant_identity=who) for who in ("ann", "gus", "gus")
    ]
    answers.append(await party.request_token(other, participant_identity="gus"))

    assert [answer.status_code for answer in answers] == [403, 201, 201, 403]
    assert refused(answers[0]) == refused(answers[3]) == (403, "identity_taken")


async def test_a_guest_cannot_take_the_place_of_who_came_otherwise(
    party: Party, livekit: LiveKit
) -> None:
    """An identity that is in the room without a token of ours, as a telephone's, is taken."""
    link = await party.invite()
    async with joined(livekit, person_token(livekit, party.room, "sip_+4930123")):
        answers = [
            await party.request_token(link, participant_identity=who)
            for who in ("sip_+4930123", "gus")
        ]

    assert [answer.status_code for answer in answers] == [403, 201]
    assert refused(answers[0]) == (403, "identity_taken")


async def test_a_guest_cannot_take_the_openers_identity(party: Party, redis: Redis) -> None:
    """Who opened the session keeps that identity, also once the token for it is over."""
    opener = (await spec_of(redis, party.room)).opener
    await redis.delete(TOKENS_KEY.format(room=party.room))
    answer = await party.request_token(await party.invite(), participant_identity=opener)

    assert opener and refused(answer) == (403, "identity_taken")


async def test_a_guest_cannot_add_personas(party: Party) -> None:
    """Personas in a guest's token request are not added to the session."""
    config = {"agents": [{"agent_name": "moshi", "metadata": '{"persona": "teacher"}'}]}
    await party.request_token(await party.invite(), room_config=config)
    session = (await party.http.get(party.path, headers=party.shop)).json()

    assert [persona["name"] for persona in session["personas"]] == ["chef"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/mute"), ("POST", "/guests"), ("GET", "/events")],
)
async def test_a_guest_cannot_manage_the_session(party: Party, method: str, path: str) -> None:
    """A guest link is refused on the routes that show or change a session."""
    headers = bearer((await party.invite())["bearer"])
    answer = await party.http.request(method, party.path + path, headers=headers, json={})

    assert refused(answer) == (403, "scope_missing")


async def test_a_guest_cannot_open_a_session(party: Party) -> None:
    """A guest link opens no session, neither in its own room nor in another."""
    headers = bearer((await party.invite())["bearer"])
    answers = [
        await party.http.post("/sessions", headers=headers, json=asked)
        for asked in ({}, {"room": party.room, "identity": "gus"})
    ]

    assert {refused(answer) for answer in answers} == {(403, "guests_open_nothing")}


async def test_revoking_a_link_removes_its_guests(party: Party, livekit: LiveKit) -> None:
    """Revoking a guest link removes its guests from the room, and ends the link."""
    link = await party.invite()
    token = (await party.request_token(link)).json()["participant_token"]
    async with joined(livekit, token):
        path = f"{party.path}/guests/{link['id']}"
        answer = await party.http.delete(path, headers=party.shop)
        await eventually(lambda: are_alone(livekit, party.room), "the guest is gone")

    assert answer.status_code == 204
    assert refused(await party.request_token(link)) == (401, "unauthorized")


async def token_ids(answers: Iterable[httpx.Response], settings: Settings) -> set[str]:
    """Return the ids of the tokens in these answers."""
    secret = settings.livekit_api_secret.get_secret_value()
    given = [each.json()["participant_token"] for each in answers if each.status_code == 201]
    return {jwt.decode(each, secret, algorithms=["HS256"])["jti"] for each in given}


async def test_requests_in_flight_get_no_good_token_of_a_revoked_link(
    party: Party, redis: Redis, settings: Settings
) -> None:
    """A request in flight while its link is revoked gets no token, or a revoked one."""
    for _ in range(3):
        link = await party.invite()
        coming = [asyncio.create_task(party.request_token(link)) for _ in range(40)]
        await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
        path = f"{party.path}/guests/{link['id']}"
        answer = await party.http.delete(path, headers=party.shop)
        answers = await asyncio.gather(*coming)
        given = await token_ids(answers, settings)
        late = {refused(each) for each in answers if each.status_code != 201}

        assert answer.status_code == 204
        known = await redis.hkeys(TOKENS_KEY.format(room=party.room))
        assert {REVOKED + each for each in given} - set(known) == set()
        assert late <= {(401, "unauthorized")}


async def test_a_link_revoked_during_the_request_gives_no_token(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token request is refused when its link is revoked before the token is made."""
    link = await party.invite()
    admit, path = RoomAdmission.admit, f"{party.path}/guests/{link['id']}"

    async def revoked_meanwhile(self: RoomAdmission, request: AdmissionRequest) -> RoomSpec:
        spec = await admit(self, request)
        assert (await party.http.delete(path, headers=party.shop)).status_code == 204
        return spec

    monkeypatch.setattr(RoomAdmission, "admit", revoked_meanwhile)

    assert refused(await party.request_token(link)) == (401, "unauthorized")


async def test_the_end_of_a_session_ends_its_links(party: Party) -> None:
    """A guest link is refused with `session_ended` once its session has ended."""
    link = await party.invite()
    await party.http.delete(party.path, headers=party.shop)

    assert refused(await party.request_token(link)) == (403, "session_ended")


async def test_a_link_leads_into_no_later_session(party: Party) -> None:
    """A guest link of an ended session does not lead into a later session of the same room."""
    link = await party.invite()
    await party.http.delete(party.path, headers=party.shop)
    asked = {"room": party.room, "identity": "ann"}
    again = await party.http.post("/sessions", headers=party.shop, json=asked)

    assert again.status_code == 201
    assert refused(await party.request_token(link)) == (403, "session_ended")


async def test_a_forged_link_is_refused(party: Party, settings: Settings) -> None:
    """A guest link that is signed with LiveKit's secret is refused."""
    link = await party.invite()
    claims = jwt.decode(link["bearer"].removeprefix("mrg_"), options={"verify_signature": False})
    secret = settings.livekit_api_secret.get_secret_value()
    forged = "mrg_" + jwt.encode(claims | {"exp": claims["exp"] + 60}, secret, algorithm="HS256")

    assert refused(await party.request_token({"bearer": forged})) == (401, "unauthorized")


async def test_a_link_is_no_livekit_token(party: Party, livekit: LiveKit) -> None:
    """LiveKit refuses a guest link as a participant's token."""
    link = await party.invite()
    async with httpx.AsyncClient() as http:
        token = link["bearer"].removeprefix("mrg_")
        url = f"{livekit.http_url}/rtc/validate?access_token={token}"
        assert (await http.get(url)).status_code == 401


@pytest.mark.parametrize("asked", [{"people": 2}, {"lives_s": 29}, {"lives_s": 86_401}, {"x": 1}])
async def test_a_link_has_limits(party: Party, asked: dict[str, int]) -> None:
    """A guest link lives from 30 seconds to a day, and unknown fields are refused."""
    answer = await party.http.post(f"{party.path}/guests", headers=party.shop, json=asked)

    assert refused(answer) == (400, "invalid_input")


async def test_a_guest_rates_its_own_session(settings: Settings, redis: Redis, keys: Keys) -> None:
    """A guest rates the session of its link, also one that has ended, and no other."""
    await beat(redis)
    told = {"auth_mode": ("api_keys",), "api_keys_file": keys.path, "ratings": True}
    shop = keys.add("shop")
    async with app(settings.model_copy(update=told)) as http:
        ids = [(await http.post("/sessions", headers=shop)).json()["id"] for _ in range(2)]
        link = (await http.post(f"/sessions/{ids[0]}/guests", headers=shop)).json()
        await http.delete(f"/sessions/{ids[0]}", headers=shop)
        headers = bearer(link["bearer"])
        answers = [
            await http.post(f"/sessions/{each}/rating", headers=headers, json={"rating": 5})
            for each in ids
        ]

    assert [each.status_code for each in answers] == [204, 404]
