"""livekit-client's unmodified TokenSource in Node: its cache, and when it asks again."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser

from harness.stack import Stack
from tests.clients.packages import run_node

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def answers(stack: Stack) -> Answers:
    """Return the answers that `tokens.mjs` got, by the way of asking."""
    answers: Answers = json.loads(run_node("tokens.mjs", stack.url))
    return answers


def test_a_token_is_kept(answers: Answers) -> None:
    """TokenSource keeps a token while more than a minute of its ten is left."""
    assert answers["first"] == answers["again"] == answers["beforeItRunsOut"]


def test_a_token_is_renewed_in_time(answers: Answers) -> None:
    """TokenSource asks for a new token in the last minute, which is for another room."""
    assert answers["whenItRunsOut"]["lifeS"] == 600
    assert answers["whenItRunsOut"]["room"] != answers["first"]["room"]


def test_a_forced_token_leads_to_a_fresh_room(answers: Answers) -> None:
    """A forced fetch, as useSession makes after a call, gets another room and identity."""
    assert answers["forced"]["room"] != answers["whenItRunsOut"]["room"]
    assert answers["forced"]["identity"] != answers["whenItRunsOut"]["identity"]


def test_requested_names_are_granted(answers: Answers) -> None:
    """A client chooses room, name and identity."""
    asked = {key: answers["asked"][key] for key in ("room", "name", "identity")}

    assert asked == {"room": "kitchen", "name": "Ann", "identity": "ann"}


def test_every_token_leads_to_our_livekit(answers: Answers, stack: Stack) -> None:
    """Each answer has the LiveKit URL for clients."""
    addresses = {each["serverUrl"] for way, each in answers.items() if way != "refusal"}

    assert addresses == {stack.livekit.url}


@pytest.mark.parametrize("way", ["development", "sandbox"])
def test_the_path_of_livekits_development_server_works(answers: Answers, way: str) -> None:
    """The path of LiveKit's development token server gives tokens as well."""
    assert answers[way]["room"].startswith("room-")


def test_a_refusal_says_what_was_wrong(answers: Answers) -> None:
    """TokenSource's error has our detail with field and value."""
    assert "room_config.agents.0.agent_name='nobody': expected 'moshi'" in answers["refusal"]


@pytest.mark.asyncio(loop_scope="session")
async def test_an_origin_that_is_not_named_gets_no_token(browser: Browser, stack: Stack) -> None:
    """A page whose origin is not in CORS_ORIGINS cannot read a token."""
    page = await browser.new_page()
    await page.goto(stack.livekit.http_url)  # an origin that is not in CORS_ORIGINS
    problem = await page.evaluate(
        "(url) => fetch(url, { method: 'POST' }).then(() => 'let in', String)",
        f"{stack.url}/token",
    )
    await page.close()

    assert problem == "TypeError: Failed to fetch"
