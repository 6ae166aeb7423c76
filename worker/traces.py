"""The spans of one room's host, made of the events that it emits: no frame waits for them."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from protocol import tracing
from protocol.events import Event, StateEvent, TurnEvent
from protocol.room_spec import RoomSpec

Emit = Callable[[str, Event], None]


@contextmanager
def traced(spec: RoomSpec, emit: Emit) -> Generator[Emit]:
    """Yield an `emit` that also makes spans, below the request that opened the room.

    `job`: from its start to the first sound that people hear; within it `join`, until a persona
    has joined. `turn`: from the end of people's speech to a persona's first sound.
    """
    figures: dict[str, Any] = {"session": spec.session, "generation": spec.generation}
    job = tracing.begin("job", spec.trace, **figures, personas=len(spec.personas))
    join = tracing.begin("join", job.traceparent, **figures)

    def emit_and_trace(room: str, event: Event) -> None:
        emit(room, event)
        match event:
            case StateEvent(state="listening"):
                join.end(event.at_s)
            case StateEvent(state="speaking"):
                job.end(event.at_s, first_sound=True)
            case TurnEvent():
                began_s = event.at_s - event.latency_ms / 1000
                turn = tracing.begin("turn", job.traceparent, began_s, **figures)
                turn.end(event.at_s, persona_id=event.persona_id)
            case _:
                return

    try:
        yield emit_and_trace
    finally:
        join.end()
        job.end(first_sound=False)
