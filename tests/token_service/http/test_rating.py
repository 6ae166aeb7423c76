"""The rating of a session by a person: an event, where the operator turned ratings on."""

import json

import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.players import beat, opened


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Return the settings with ratings on, unless a test turns them off."""
    return settings.model_copy(update={"ratings": getattr(request, "param", True)})


async def test_a_rating_is_an_event_also_after_the_end(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A rating from 1 to 5 is stored as an event after `ended`, and another number is refused."""
    await beat(redis)
    session = f"/sessions/{(await opened(http))['id']}"
    await http.delete(session)
    wrong = await http.post(f"{session}/rating", json={"rating": 6})
    right = await http.post(f"{session}/rating", json={"rating": 4})
    stored = await http.get(f"{session}/events", params={"follow": False})
    events = [
        json.loads(line[6:]) for line in stored.text.splitlines() if line.startswith("data: ")
    ]

    assert (wrong.status_code, right.status_code) == (400, 204)
    assert [event["type"] for event in events] == ["ended", "rated"]
    assert events[-1]["rating"] == 4
    assert (await http.get("/api/config")).json()["ratings"] is True


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_a_rating_is_refused_where_ratings_are_off(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """By default `/api/config` says that ratings are off, and a rating is refused."""
    await beat(redis)
    session = f"/sessions/{(await opened(http))['id']}"
    answer = await http.post(f"{session}/rating", json={"rating": 4})

    assert (answer.status_code, answer.json()["error"]) == (403, "ratings_off")
    assert (await http.get("/api/config")).json()["ratings"] is False
