"""Guest links: signed for one session, with an end; and nothing else."""

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
from tests.token_service.auth.strangers import app, bearer
from tests.token_service.players import beat, eventually, identities, joined, spec_of
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope
from token_service.auth.guest_links import GuestLinks
from token_service.auth.rate_limit import KEY_PREFIX
from token_service.rooms.admission import AdmissionRequest, RoomAdmission
from token_service.rooms.issued_tokens import REVOKED, TOKENS_KEY


class Party:
    """A session of a shop's, behind keys, to which guests are invited."""

    def __init__(self, http: httpx.AsyncClient, shop: dict[str, str], said: dict[str, Any]) -> None:
        self.http, self.shop, self.room = http, shop, said["room"]
        self.path = f"/sessions/{said['id']}"

    async def invite(self, **asked: int) -> dict[str, Any]:
        """A link."""
        answer = await self.http.post(f"{self.path}/guests", headers=self.shop, json=asked)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def come(self, link: dict[str, Any], **asked: Any) -> httpx.Response:
        """A guest asks for a token."""
        return await self.http.post("/token", headers=bearer(link["bearer"]), json=asked)


@pytest.fixture
async def party(settings: Settings, redis: Redis, tmp_path: Any) -> AsyncGenerator[Party]:
    """A session that was opened for the shop's own person, ann."""
    await beat(redis)
    path = tmp_path / "keys.toml"
    key, stored = make_key("shop", frozenset(Scope))
    add_key(path, stored)
    keyed = settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": path})
    async with app(keyed) as http:
        asked = {"identity": "ann", "personas": ["chef"]}
        said = (await http.post("/sessions", headers=bearer(key), json=asked)).json()
        yield Party(http, bearer(key), said)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """How somebody is refused."""
    return answer.status_code, answer.json()["error"]


async def test_a_guest_comes_into_the_room(party: Party, settings: Settings) -> None:
    """Whatever a guest leaves out is the link's room and a guest's identity."""
    answer = await party.come(await party.invite(), participant_name="Gus")
    secret = settings.livekit_api_secret.get_secret_value()
    claims = jwt.decode(answer.json()["participant_token"], secret, algorithms=["HS256"])

    assert answer.status_code == 201
    assert (claims["video"]["room"], claims["name"]) == (party.room, "Gus")
    assert claims["sub"].startswith("guest-")


async def test_a_link_is_for_one_room(party: Party) -> None:
    """Another room is refused, also one that does not exist yet."""
    answer = await party.come(await party.invite(), room_name="another")

    assert refused(answer) == (403, "not_yours")


async def test_a_session_is_for_so_many_people(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit
) -> None:
    """LiveKit admits `max_people` at once, guests among them, and the next when one has left.

    The token service says so to the next one; a person who is in the room gets another token.
    """
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

        async def alone() -> bool:
            return await identities(livekit, session["room"]) == {"ann"}

        await eventually(alone, "the guest has left")
        async with joined(livekit, gil):
            assert len(await identities(livekit, session["room"])) == 2


async def test_links_take_no_space(party: Party, redis: Redis) -> None:
    """However many a stranger asks for: redis stores nothing for a link, only counts of requests.

    Each link once took an entry for up to a week.
    """

    async def stored() -> set[str]:
        return {key for key in await redis.keys() if not key.startswith(KEY_PREFIX)}

    before = await stored()
    for _ in range(20):
        await party.invite(lives_s=86_400)

    assert await stored() == before


async def test_guests_do_not_use_up_their_hosts_number(party: Party, redis: Redis) -> None:
    """A link's tokens are counted for the link, so nobody locks their host out."""
    link = await party.invite()
    for _ in range(3):
        await party.come(link)
    of_link = f"*/caller/guest {link['id']}/*"
    counted = [key for key in await redis.keys(f"moshi:rate{of_link}")]

    assert [await redis.get(key) for key in counted] == ["3"]


async def test_a_link_ends(party: Party, redis: Redis, settings: Settings) -> None:
    """Its end is signed into it; afterwards it is refused."""
    now_s = int(time.time())
    link = await party.invite(lives_s=30)
    expired, _ = GuestLinks(settings).sign(await spec_of(redis, party.room), now_s - 1)

    assert 28 <= link["ends_at_s"] - now_s <= 32
    assert refused(await party.come({"bearer": expired})) == (401, "unauthorized")


async def test_a_guest_is_nobody_else(party: Party) -> None:
    """An identity that has a token from elsewhere is refused; the link's own may come again.

    LiveKit would remove the first participant when a second one of its identity joins.
    """
    link, other = await party.invite(), await party.invite()
    answers = [await party.come(link, participant_identity=who) for who in ("ann", "gus", "gus")]
    answers.append(await party.come(other, participant_identity="gus"))

    assert [answer.status_code for answer in answers] == [403, 201, 201, 403]
    assert refused(answers[0]) == refused(answers[3]) == (403, "identity_taken")


async def test_a_guest_changes_nobodys_company(party: Party) -> None:
    """Personas that a guest asks for do not come."""
    config = {"agents": [{"agent_name": "moshi", "metadata": '{"persona": "teacher"}'}]}
    await party.come(await party.invite(), room_config=config)
    session = (await party.http.get(party.path, headers=party.shop)).json()

    assert [persona["name"] for persona in session["personas"]] == ["chef"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/mute"), ("POST", "/guests"), ("GET", "/events")],
)
async def test_a_guest_manages_nothing(party: Party, method: str, path: str) -> None:
    """A link is no key to the session."""
    headers = bearer((await party.invite())["bearer"])
    answer = await party.http.request(method, party.path + path, headers=headers, json={})

    assert refused(answer) == (403, "scope_missing")


async def test_a_guest_opens_nothing(party: Party) -> None:
    """No session of their own, not in this room and in no other."""
    headers = bearer((await party.invite())["bearer"])
    answers = [
        await party.http.post("/sessions", headers=headers, json=asked)
        for asked in ({}, {"room": party.room, "identity": "gus"})
    ]

    assert {refused(answer) for answer in answers} == {(403, "guests_open_nothing")}


async def test_a_link_is_taken_back(party: Party, livekit: LiveKit) -> None:
    """Who came by it is removed, and nobody comes by it any more."""
    link = await party.invite()
    token = (await party.come(link)).json()["participant_token"]
    async with joined(livekit, token):
        path = f"{party.path}/guests/{link['id']}"
        answer = await party.http.delete(path, headers=party.shop)

        async def gone() -> bool:
            return await identities(livekit, party.room) == set()

        await eventually(gone, "the guest is gone")

    assert answer.status_code == 204
    assert refused(await party.come(link)) == (401, "unauthorized")


async def token_ids(answers: Iterable[httpx.Response], settings: Settings) -> set[str]:
    """The ids of the tokens that were given out."""
    secret = settings.livekit_api_secret.get_secret_value()
    given = [each.json()["participant_token"] for each in answers if each.status_code == 201]
    return {jwt.decode(each, secret, algorithms=["HS256"])["jti"] for each in given}


async def test_a_link_that_is_taken_back_lets_nobody_in_who_was_on_the_way(
    party: Party, redis: Redis, settings: Settings
) -> None:
    """Of forty requests in flight each is refused, or its token is revoked with the link.

    Up to 36 good tokens once came after the 204.
    """
    for _ in range(3):
        link = await party.invite()
        coming = [asyncio.create_task(party.come(link)) for _ in range(40)]
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


async def test_a_guest_who_waits_for_the_room_while_the_link_is_taken_back_is_refused(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is looked at again once the token is made: it was good when the request came."""
    link = await party.invite()
    admit, path = RoomAdmission.admit, f"{party.path}/guests/{link['id']}"

    async def revoked_meanwhile(self: RoomAdmission, request: AdmissionRequest) -> RoomSpec:
        spec = await admit(self, request)
        assert (await party.http.delete(path, headers=party.shop)).status_code == 204
        return spec

    monkeypatch.setattr(RoomAdmission, "admit", revoked_meanwhile)

    assert refused(await party.come(link)) == (401, "unauthorized")


async def test_the_end_of_the_session_is_the_end_of_the_link(party: Party) -> None:
    """Nobody comes into a session that is over, and none is begun by it."""
    link = await party.invite()
    await party.http.delete(party.path, headers=party.shop)

    assert refused(await party.come(link)) == (403, "session_ended")


async def test_a_link_leads_into_no_later_session(party: Party) -> None:
    """A new session in the same room has guests of its own."""
    link = await party.invite()
    await party.http.delete(party.path, headers=party.shop)
    asked = {"room": party.room, "identity": "ann"}
    again = await party.http.post("/sessions", headers=party.shop, json=asked)

    assert again.status_code == 201
    assert refused(await party.come(link)) == (403, "session_ended")


async def test_a_forged_link_opens_nothing(party: Party, settings: Settings) -> None:
    """LiveKit's secret alone does not sign links, and no other key does."""
    link = await party.invite()
    claims = jwt.decode(link["bearer"].removeprefix("mrg_"), options={"verify_signature": False})
    secret = settings.livekit_api_secret.get_secret_value()
    forged = "mrg_" + jwt.encode(claims | {"exp": claims["exp"] + 60}, secret, algorithm="HS256")

    assert refused(await party.come({"bearer": forged})) == (401, "unauthorized")


async def test_a_link_is_no_livekit_token(party: Party, livekit: LiveKit) -> None:
    """LiveKit does not take it: its signature is another."""
    link = await party.invite()
    async with httpx.AsyncClient() as http:
        token = link["bearer"].removeprefix("mrg_")
        url = f"{livekit.http_url}/rtc/validate?access_token={token}"
        assert (await http.get(url)).status_code == 401


@pytest.mark.parametrize("asked", [{"people": 2}, {"lives_s": 29}, {"lives_s": 86_401}, {"x": 1}])
async def test_a_link_has_limits(party: Party, asked: dict[str, int]) -> None:
    """Between half a minute and a day. Old fields are refused, not ignored."""
    answer = await party.http.post(f"{party.path}/guests", headers=party.shop, json=asked)

    assert refused(answer) == (400, "invalid_input")
