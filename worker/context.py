"""What all hosts of this process share, and the names that their personas join with."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from protocol import wire
from protocol.config.settings import Settings
from protocol.events import Event
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.admission import JobAdmission
from worker.engine.engine import Engine
from worker.hosts import Hosts


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The worker, as a host sees it. Every part may be used from any thread."""

    settings: Settings
    engine: Engine
    admission: JobAdmission
    hosts: Hosts
    changed: Callable[[], None]  # slots or rooms changed
    emit: Callable[[str, Event], None]  # an event of a room


def identity_of(promised: PersonaSpec) -> str:
    """An identity that is never used again: one used twice ends both (livekit-server 1.13.5)."""
    return wire.persona_identity(promised.name, promised.id, uuid.uuid4().hex[:10])


def attributes_of(promised: PersonaSpec, spec: RoomSpec, model: str) -> dict[str, str]:
    """Attributes that a persona's participant joins with."""
    return {
        wire.ATTR_AGENT_STATE: "initializing",
        wire.ATTR_PERSONA: promised.name,
        wire.ATTR_PERSONA_ID: promised.id,
        wire.ATTR_VOICE: promised.voice,
        wire.ATTR_MODEL: model,
        wire.ATTR_GENERATION: str(spec.generation),
    }
