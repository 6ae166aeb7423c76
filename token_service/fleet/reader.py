"""The workers as their heartbeats show them: who is ready, free slots, who hosts which room.

`Fleet` is pure; `FleetReader` reads redis. A worker whose heartbeat is gone does not exist here.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis

from protocol.errors import InvalidInput
from protocol.heartbeat import HEARTBEAT_PATTERN, Heartbeat, Outcome
from protocol.personas import Catalogue, Persona
from protocol.room_spec import RoomSpec
from token_service.errors import Unavailable, full
from token_service.fleet.breakers import Breakers

log = structlog.stdlib.get_logger(__name__)

PLACES_KEY = "moshi:places"  # room → "until_ms slots worker"; written by places.lua
NO_CHOICE = frozenset({"default"})  # the voice of a model that has no voices to choose


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every live worker at one moment, what is held of their slots, and whom a breaker guards."""

    workers: tuple[Heartbeat, ...] = ()
    held: Mapping[str, int] = field(default_factory=dict[str, int])  # worker → slots
    guarded: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()  # rooms that hold a place

    @property
    def ready(self) -> tuple[Heartbeat, ...]:
        """The workers that take rooms."""
        return tuple(worker for worker in self.workers if worker.state == "ready")

    @property
    def takers(self) -> tuple[Heartbeat, ...]:
        """The ready workers that no breaker guards."""
        return tuple(worker for worker in self.ready if worker.worker_id not in self.guarded)

    @property
    def slots_free(self) -> int:
        """Slots of all takers that are neither used nor held."""
        return sum(self.free(worker) for worker in self.takers)

    def free(self, worker: Heartbeat) -> int:
        """A worker's slots that a new room could have."""
        return max(worker.slots_free - self.held.get(worker.worker_id, 0), 0)

    @property
    def slots_total(self) -> int:
        """Slots of all takers, whatever their state."""
        return sum(max(w.slots_total, w.slots_free + w.slots_used) for w in self.takers)

    @property
    def slots_used(self) -> int:
        """Used slots of all live workers."""
        return sum(worker.slots_used for worker in self.workers)

    @property
    def voices(self) -> tuple[str, ...]:
        """The voices to choose from; none where some ready worker has no choice to offer."""
        offers = [set(worker.voices) for worker in self.ready]
        if not offers or any(offer <= NO_CHOICE for offer in offers):
            return ()
        return tuple(sorted(set[str]().union(*offers)))

    @property
    def rooms(self) -> frozenset[str]:
        """Every room that a live worker hosts."""
        return frozenset(room for worker in self.workers for room in worker.hosts)

    def lines(self, voice: str) -> list[str] | None:
        """Give the only lines that can be said in a voice; None where a worker says any line."""
        by_voice = next((worker.lines for worker in self.ready if worker.lines is not None), None)
        if by_voice is None or any(worker.lines is None for worker in self.ready):
            return None
        return [*by_voice.get(voice, ()), *by_voice.get("*", ())]

    def hosts(self, spec: RoomSpec) -> bool:
        """Whether a live worker hosts the promise's room in its current generation."""
        return self.host(spec) is not None

    def host(self, spec: RoomSpec) -> Heartbeat | None:
        """The live worker that hosts the promise's room in its current generation."""
        for worker in self.workers:
            if worker.hosts.get(spec.room) == spec.generation:
                return worker
        return None

    def worker(self, worker_id: str) -> Heartbeat | None:
        """The live worker of this id."""
        return next((each for each in self.workers if each.worker_id == worker_id), None)

    def lives(self, worker_id: str) -> bool:
        """Whether there is such a worker."""
        return self.worker(worker_id) is not None

    def outcome(self, spec: RoomSpec) -> Outcome | None:
        """Return what became of the spec's dispatch, by its worker; None: that is not known."""
        worker = self.worker(spec.worker)
        found = worker.outcomes.get(spec.room) if worker is not None else None
        return found.outcome if found is not None and found.generation == spec.generation else None

    def done(self, spec: RoomSpec) -> bool:
        """Return whether no host will come of this dispatch: its worker is gone, or it is over."""
        gone = bool(spec.worker) and not self.lives(spec.worker)
        return gone or self.outcome(spec) in ("refused", "failed", "left")

    def obstacle(self, personas: int) -> Unavailable | None:
        """Why no worker can take a room with so many personas now; `None` where one can."""
        if not self.ready:
            return self._nobody_ready()
        if not self.takers:
            return Unavailable("worker_failing", "Conversations fail to start. Try again soon.", 30)
        if any(self.free(worker) >= personas for worker in self.takers):
            return None
        most = max(max(w.slots_total, w.slots_free + w.slots_used) for w in self.takers)
        if personas > most:
            return Unavailable(
                "too_many_personas",
                f"{personas} personas were asked for; a worker here has room for {most}.",
                60,
            )
        return full()

    def _nobody_ready(self) -> Unavailable:
        states = {worker.state: worker for worker in self.workers}
        if loading := states.get("loading_model") or states.get("starting"):
            progress = f" ({loading.reason})" if loading.reason else ""
            return Unavailable("loading_model", f"The model is still loading{progress}.", 5)
        if connecting := states.get("connecting"):
            sentence = f"{connecting.reason[:1].upper()}{connecting.reason[1:]}."
            return Unavailable("connecting", sentence, 5)
        if "draining" in states:
            return Unavailable("draining", "The worker is about to restart.", 10)
        if "error" in states:
            return Unavailable("worker_failed", f"The worker failed: {states['error'].reason}", 30)
        return Unavailable("no_worker", "No worker is running.", 10)

    def check_voices(self, personas: Iterable[Persona], catalogue: Catalogue) -> None:
        """Refuse a voice that the client named and no worker has. Raises `InvalidInput`.

        The catalogue's own voices pass: the model's default stands in for one it does not have.
        """
        for persona in personas:
            known = catalogue.get(persona.name)
            usual = {"default", known.voice} if known else NO_CHOICE
            if self.voices and persona.voice not in usual and persona.voice not in self.voices:
                raise InvalidInput(
                    f"persona.voice={persona.voice!r}: choices: {', '.join(self.voices)}"
                )


class FleetReader:
    """Reads heartbeats, held places and breakers."""

    def __init__(self, redis: Redis, breakers: Breakers) -> None:
        self._redis = redis
        self._breakers = breakers

    async def fleet(self) -> Fleet:
        """All live workers now, by name. Raises `RedisError`."""
        keys = [key async for key in self._redis.scan_iter(match=HEARTBEAT_PATTERN, count=1000)]
        beats = await self._redis.mget(sorted(keys)) if keys else []
        read = [_read(text) for text in beats if text is not None]
        workers = tuple(heartbeat for heartbeat in read if heartbeat is not None)
        written: Any = await self._redis.hgetall(PLACES_KEY)
        now_s = time.time()
        places = {room: place for room, place in written.items() if _until_s(place) > now_s}
        return Fleet(
            workers,
            held=held_slots(places, workers),
            placed=frozenset(places),
            guarded=await self._breakers.opened(worker.worker_id for worker in workers),
        )


def _until_s(place: str) -> float:
    return int(place.partition(" ")[0]) / 1000


def held_slots(places: Mapping[str, str], workers: Iterable[Heartbeat]) -> dict[str, int]:
    """Slots held on each worker for rooms that it does not host yet; as `places.lua` counts."""
    hosted = {worker.worker_id: worker.hosts for worker in workers}
    held: dict[str, int] = {}
    for room, place in places.items():
        _, slots, worker = place.split(" ", 2)
        if room not in hosted.get(worker, {}):
            held[worker] = held.get(worker, 0) + int(slots)
    return held


def _read(text: str | bytes) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("heartbeat_unreadable", faults=error.error_count())
        return None
