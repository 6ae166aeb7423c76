"""The OpenAPI document, fuzzed by schemathesis: no request makes the service fail."""

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import requests
import schemathesis.openapi
from hypothesis import HealthCheck, given
from hypothesis import settings as patience
from redis import Redis
from schemathesis import Case
from schemathesis.schemas import APIOperation

from harness.servers import GivenSettings, LiveKit
from protocol.config.settings import Settings
from protocol.heartbeat import WORKERS_KEY, Heartbeat, heartbeat_key
from tests.token_service.conftest import FUZZ_DATABASE
from tests.token_service.players import served
from token_service.app import create_app

FEW = patience(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
ENDLESS = "/sessions/{session_id}/events"
DOCUMENT = schemathesis.openapi.from_dict(create_app(GivenSettings()).openapi())
OPERATIONS = [found.ok() for found in DOCUMENT.get_all_operations()]


def of(operations: list[APIOperation]) -> pytest.MarkDecorator:
    """Return the mark that runs a test once for each of these operations.

    Not schemathesis' own mark: under pytest 9.2 its tests have one node id together, and xdist ran
    one of them.
    """
    return pytest.mark.parametrize("operation", operations, ids=lambda each: each.label)


class Target:
    """A running service with a million free slots."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url)
        self.requests = requests.Session()
        self._session: dict[str, Any] | None = None

    def session(self) -> dict[str, Any]:
        """Return an open session with at least two personas."""
        if self._session is not None:
            state = self.http.get(f"/sessions/{self._session['id']}").json()
            if state["state"] != "ended" and len(state["personas"]) > 1:
                return self._session | {"personas": state["personas"]}
        asked = {"personas": ["chef", "teacher"]}
        self._session = self.http.post("/sessions", json=asked).json()
        return self._session


@pytest.fixture(scope="module")
def target(livekit: LiveKit, redis_url: str) -> Generator[Target]:
    """Run the service with a real uvicorn on a thread of its own."""
    url = redis_url.removesuffix("/0") + f"/{FUZZ_DATABASE}"
    heartbeat = Heartbeat(worker_id="w", state="ready", model="m", slots_free=10**6)
    with Redis.from_url(url) as redis:
        redis.set(heartbeat_key("w"), heartbeat.model_dump_json())
        redis.zadd(WORKERS_KEY, {"w": 1.0})
    settings = GivenSettings(
        livekit_url=livekit.url,
        livekit_api_key=livekit.api_key,
        livekit_api_secret=livekit.api_secret,
        redis_url=url,
    )
    with socket.create_server(("127.0.0.1", 0)) as listening, serving(settings, listening):
        target = Target(f"http://127.0.0.1:{listening.getsockname()[1]}")
        with target.http, target.requests:
            yield target


@contextmanager
def serving(settings: Settings, listening: socket.socket) -> Generator[None]:
    """Run the service on a thread of its own."""
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served(create_app(settings), listening):
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        over.set()
        thread.join()


def check(answer: Any) -> None:
    """Assert that an answer is no 5xx and that a refusal is a problem by RFC 9457."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem = answer.json()
        assert answer.headers["content-type"] == ["application/problem+json"]
        assert problem["status"] == answer.status_code
        assert problem["error"] and problem["title"]


@of(OPERATIONS)
def test_no_request_makes_the_service_fail(operation: APIOperation, target: Target) -> None:
    """No request with generated ids and bodies makes the service fail."""

    @FEW
    @given(operation.as_strategy())
    def holds(case: Case) -> None:
        check(case.call(base_url=target.url, session=target.requests, timeout=10))

    holds()


@of([each for each in OPERATIONS if "session_id" in each.path and each.path != ENDLESS])
def test_no_request_to_a_session_makes_the_service_fail(
    operation: APIOperation, target: Target
) -> None:
    """No request to an existing session and persona makes the service fail."""

    @FEW
    @given(operation.as_strategy())
    def holds(case: Case) -> None:
        session = target.session()
        case.path_parameters["session_id"] = session["id"]
        if "persona_id" in case.path_parameters:
            case.path_parameters["persona_id"] = session["personas"][0]["id"]
        if isinstance(case.body, dict) and "persona_id" in case.body:
            case.body["persona_id"] = session["personas"][0]["id"]
        check(case.call(base_url=target.url, session=target.requests, timeout=10))

    holds()
