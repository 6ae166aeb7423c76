"""The spans of one room's host, made of the events that it emits: no frame waits for them."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from protocol.config import tracing
from protocol.events import Event, StateEvent, ToolEndedEvent, TurnEvent
from protocol.room_spec import RoomSpec

Emit = Callable[[str, Event], None]
TOOLS_KEPT = 100  # ended since the last turn


@contextmanager
def traced(spec: RoomSpec, emit: Emit) -> Generator[Emit]:
    """Yield an `emit` that also makes spans, below the request that opened the room."""
    trace = _JobTrace(spec)

    def emit_and_trace(room: str, event: Event) -> None:
        emit(room, event)
        trace.add(event)

    try:
        yield emit_and_trace
    finally:
        trace.end()


class _JobTrace:
    """`job`: from its start to the first sound that people hear; in it `join`, `turn` and `tool`.

    `join` lasts until a persona has joined, `turn` from the end of people's speech to a persona's
    first sound. A tool's call belongs to the turn that it delayed, else to the job.
    """

    def __init__(self, spec: RoomSpec) -> None:
        self._figures: dict[str, Any] = {"session": spec.session, "generation": spec.generation}
        personas = len(spec.personas)
        self._job = tracing.begin("job", spec.trace, **self._figures, personas=personas)
        self._below = tracing.traceparent(self._job)
        self._join = tracing.begin("join", self._below, **self._figures)
        self._tools: list[ToolEndedEvent] = []

    def add(self, event: Event) -> None:
        """Begin or end the spans that an event tells of."""
        match event:
            case StateEvent(state="listening"):
                tracing.end(self._join, event.at_s)
            case StateEvent(state="speaking"):
                tracing.end(self._job, event.at_s, first_sound=True)
            case ToolEndedEvent():
                self._tools = [*self._tools[1 - TOOLS_KEPT :], event]
            case TurnEvent():
                self._add_turn(event)
            case _:
                return

    def end(self) -> None:
        self._add_tools(self._below, self._tools)
        tracing.end(self._join)
        tracing.end(self._job, first_sound=False)

    def _add_turn(self, turn: TurnEvent) -> None:
        began_s = turn.at_s - turn.latency_ms / 1000
        span = tracing.begin("turn", self._below, began_s, **self._figures)
        tools = [each for each in self._tools if each.persona_id == turn.persona_id]
        delaying = [each for each in tools if each.at_s > began_s]
        self._add_tools(tracing.traceparent(span), delaying)
        self._add_tools(self._below, [each for each in tools if each not in delaying])
        self._tools = [each for each in self._tools if each not in tools]
        tracing.end(span, turn.at_s, persona_id=turn.persona_id)

    def _add_tools(self, parent: str, tools: list[ToolEndedEvent]) -> None:
        for each in tools:
            began_s = each.at_s - each.took_ms / 1000
            span = tracing.begin("tool", parent, began_s, **self._figures)
            about = {"persona_id": each.persona_id, "tool": each.tool, "ok": each.ok}
            tracing.end(span, each.at_s, **about)
