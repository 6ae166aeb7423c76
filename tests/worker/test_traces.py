"""One trace from the request for a token to the first sound and each turn."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sphn

from harness.collector import Collector, attribute, collector
from harness.person import eventually, person
from harness.rooms import asking_for, in_talk
from harness.stack import Stack, start_stack
from protocol.config import tracing
from protocol.events import ToolEndedEvent, TurnEvent
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from worker.engine.files import pocket
from worker.traces import traced

PROMPT = "You guard the lighthouse of Zanzibar."
ROOM = "a-room-named-after-ann"
KEEPER = {"name": "keeper", "label": "Keeper", "prompt": PROMPT, "voice": "NATM0"}
VOICE = pocket.FOLDER / "voices" / "NATM0.wav"
REPORTED_NS = 100_000_000  # the most between the reports of first sound and turn
SENT_AFTER_MS = "200"
SECRET = "0123456789abcdef0123456789abcdef"  # the id of a caller's own trace
CALLERS = f"00-{SECRET}-0123456789abcdef-01"


@dataclass(frozen=True)
class Call:
    """What the collector received of one call, and the words that were read in it."""

    collected: Collector
    words: list[str]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Generator[Call]:
    """Hold a call of one turn with the product and a collector."""
    folder = tmp_path_factory.mktemp("traces")
    with collector() as collected:
        otel = {"otel_exporter_otlp_endpoint": collected.url}
        otel |= {"otel_bsp_schedule_delay": SENT_AFTER_MS}
        with start_stack(folder, model="pocket", capacity=1, **otel) as stack:
            words = asyncio.run(_talk(stack, collected))
        yield Call(collected, words)


async def _talk(stack: Stack, collected: Collector) -> list[str]:
    """Say something, wait until the answer is traced; return all words that were read."""
    async with person(stack.url, asking_for(KEEPER, room_name=ROOM)) as ann:
        await in_talk(ann)
        ann.speech = sphn.read(str(VOICE))[0][0]
        await eventually(lambda: bool(collected.named("turn")), "a turn is traced")
        await eventually(lambda: bool(collected.named("job")), "the first sound is traced")
        return [word for each in ann.words for word in each.text.split() if len(word) > 3]


def test_one_trace_leads_from_the_request_to_the_turn(call: Call) -> None:
    """Request, dispatch, job, joins and turns have one trace, over both services."""
    spans = call.collected
    (request,) = spans.named("POST /token")
    (dispatch,), (job,) = spans.named("dispatch"), spans.named("job")
    of_room = [request, dispatch, job, *spans.named("join"), *spans.named("turn")]

    assert {span.trace_id for span in of_room} == {request.trace_id}
    assert {dispatch.parent_span_id, job.parent_span_id} == {request.span_id}
    assert {span.name for span in spans.below(job)} == {"join", "turn"}
    services = {span.name: service for service, span in spans.spans}
    assert (services["dispatch"], services["job"]) == ("token_service", "worker")


def test_the_job_ends_with_the_first_sound(call: Call) -> None:
    """The job's span begins after its dispatch's and ends by the end of the first turn."""
    spans = call.collected
    (dispatch,), (job,), turn = spans.named("dispatch"), spans.named("job"), spans.named("turn")[0]

    assert attribute(job, "first_sound") == "True"
    assert dispatch.start_time_unix_nano < job.start_time_unix_nano < job.end_time_unix_nano
    assert job.end_time_unix_nano <= turn.end_time_unix_nano + REPORTED_NS
    assert turn.start_time_unix_nano < turn.end_time_unix_nano
    assert attribute(turn, "persona_id")


def test_calls_to_redis_and_livekit_are_spans_of_their_request(call: Call) -> None:
    """They are below the request or dispatch; the polls of each second make no spans."""
    spans = call.collected
    (request,), (dispatch,) = spans.named("POST /token"), spans.named("dispatch")

    assert {"GET", "LiveKit ListRooms"} <= {each.name for each in spans.below(request)}
    assert "LiveKit CreateDispatch" in {each.name for each in spans.below(dispatch)}
    roots = {span.name for _, span in spans.spans if not span.parent_span_id}
    assert roots <= {"POST /token", "POST /webhook"}


def test_a_trace_holds_no_words_and_no_prompts(call: Call) -> None:
    """Spans have no words, prompts, or names of rooms and people."""
    sent = b" ".join(call.collected.bodies)

    assert b"CreateDispatch" in sent
    for text in (PROMPT, "Zanzibar", ROOM, "Guest", *call.words):
        assert text.encode() not in sent, text


async def test_a_request_with_a_traceparent_joins_its_callers_trace(tmp_path: Path) -> None:
    """A write is a span of the caller's trace; a read makes no span."""
    with collector() as collected:
        otel = {"otel_exporter_otlp_endpoint": collected.url}
        otel |= {"otel_bsp_schedule_delay": SENT_AFTER_MS}
        with start_stack(tmp_path, model="echo", capacity=1, **otel) as stack:
            async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as http:
                await http.get("/personas", headers={"traceparent": CALLERS})
                await http.post("/sessions", headers={"traceparent": CALLERS}, json={"room": "x y"})
                await http.post("/token", json={"participant_identity": "agent-x"})
            await eventually(lambda: bool(collected.named("POST /token")), "both are sent")

    (opened,) = collected.named("POST /sessions")
    assert opened.trace_id.hex() == SECRET
    assert attribute(opened, "http.response.status_code") == "201"
    (refused,) = collected.named("POST /token")
    assert attribute(refused, "http.response.status_code") == "400"
    assert collected.named("GET /personas") == []


def test_a_tools_call_belongs_to_the_turn_that_it_delayed(tmp_path: Path) -> None:
    """A tool's span is below its turn; before or after the turn it is below the job."""
    spec = RoomSpec(room="r", personas=(Persona(name="chef", label="Chef", prompt="Cook."),))
    now_s, common = time.time(), {"persona_id": "p0", "persona": "chef", "identity": "agent"}
    ended: dict[str, Any] = common | {"took_ms": 200, "ok": True}
    with collector() as collected:
        tracing.start(collected.url, "worker")
        with traced(spec, lambda *_: None) as emit:
            emit("r", ToolEndedEvent(at_s=now_s - 5, call_id="a", tool="clock", **ended))
            emit("r", ToolEndedEvent(at_s=now_s - 1, call_id="b", tool="oven", **ended))
            emit("r", TurnEvent(at_s=now_s, latency_ms=2000, **common))
            emit("r", ToolEndedEvent(at_s=now_s + 1, call_id="c", tool="timer", **ended))
        tracing.stop()

    (turn,), (job,) = collected.named("turn"), collected.named("job")
    assert [attribute(each, "tool") for each in collected.below(turn)] == ["oven"]
    of_job = {attribute(each, "tool") for each in collected.below(job) if each.name == "tool"}
    assert of_job == {"clock", "timer"}


@pytest.mark.parametrize("module", ["token_service.__main__", "worker.worker"])
def test_nothing_is_imported_for_traces_where_they_are_off(module: str) -> None:
    """Without traces neither the exporter nor our instrumentation of redis is imported."""
    imports = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", imports], capture_output=True, check=True)
    found = set(done.stdout.decode().split())

    assert "protocol.config.tracing" in found
    assert found.isdisjoint({"protocol.config.otlp", "opentelemetry.instrumentation.redis"})
