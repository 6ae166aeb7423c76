"""A room in which scripted personas talk, as one person in it and the room's events show it."""

import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import httpx
import redis

from harness.person import Person, eventually, person
from harness.rooms import asking_for
from protocol import wire
from protocol.events import EVENT_FIELD, Event, SaidEvent, events_key, read_event
from protocol.room_spec import PersonaSpec, RoomSpec, spec_key
from tests.faults.call import WITHIN_S, poll_until
from tests.faults.cluster import Cluster, Web
from worker.backup.chunk import BACKUP_FRAMES, CHUNK_FRAMES, backup_keys, read_chunks

KEPT_FRAMES = BACKUP_FRAMES - 2 * CHUNK_FRAMES  # a backup's first and last chunk may be shorter


class Talk:
    """A room in which personas talk, as one person in it and the room's events show it."""

    def __init__(self, cluster: Cluster, ann: Person) -> None:
        self._cluster, self.ann, self.room = cluster, ann, ann.room.name
        self.personas: tuple[PersonaSpec, ...] = ()  # once they are there
        self.least_shown = 1  # participants that show one persona
        for event in ("participant_disconnected", "participant_attributes_changed"):
            ann.room.on(event, lambda *_: self._count())

    def _count(self) -> None:
        shown = Counter(
            each.attributes[wire.ATTR_PERSONA_ID]
            for each in self.ann.personas
            if wire.ATTR_ON_BEHALF not in each.attributes
        )
        counts = [shown[each.id] for each in self.personas]
        self.least_shown = min([self.least_shown, *counts])

    @property
    def session(self) -> dict[str, Any]:
        """Return the session from the token service."""
        listed: list[dict[str, Any]] = json.loads(self._cluster.services[0].reads("/sessions"))
        [found] = [each["id"] for each in listed if each["room"] == self.room]
        return json.loads(self._cluster.services[0].reads(f"/sessions/{found}"))

    def asks(self, what: str, **fields: Any) -> httpx.Response:
        """Send a POST about the session; return the answer."""
        return self._cluster.services[0].asked(f"/sessions/{self.session['id']}/{what}", fields)

    async def stands_by(self) -> tuple[Web, Web]:
        """Begin a move; return the room's host and the worker on which the next one stands by."""
        host = self._cluster.host_of(self.room)
        [other] = (each for each in self._cluster.workers if each is not host)
        before, coming = {each.identity for each in self.ann.personas}, len(self.spec.personas)
        assert self.asks("move").status_code == HTTPStatus.ACCEPTED
        await poll_until(
            lambda: len({each.identity for each in self.ann.personas} - before) == coming
        )
        await poll_until(
            lambda: any(self.room in beat.outcomes for beat in self._cluster.heartbeats())
        )
        return host, other

    def shown(self) -> dict[str, str]:
        """Return the identities of the personas that frontends show, by name."""
        return {
            each.attributes[wire.ATTR_PERSONA]: each.identity
            for each in self.ann.personas
            if wire.ATTR_ON_BEHALF not in each.attributes
        }

    async def is_hosted(self, generation: int) -> None:
        """Wait until this generation hosts the room and every persona has spoken there."""
        await poll_until(lambda: self.spec.generation >= generation)

        def spoke() -> bool:
            here = {each.identity for each in self.ann.personas}
            there = {each.identity for each in self.ann.messages}
            return len(here) == len(self.spec.personas) and here <= there

        await eventually(spoke, f"all speak at host {generation}", WITHIN_S)

    @property
    def spec(self) -> RoomSpec:
        """Return the room's spec."""
        with redis.Redis.from_url(self._cluster.redis_url, decode_responses=True) as client:
            return RoomSpec.from_metadata(str(client.get(spec_key(self.room))))

    @property
    def events(self) -> list[Event]:
        """Return the room's events."""
        with redis.Redis.from_url(self._cluster.redis_url, decode_responses=True) as client:
            entries: Any = client.xrange(events_key(self.room))
        return [read_event(fields[EVENT_FIELD]) for _, fields in entries]

    def remembered(self) -> dict[str, list[int]]:
        """Return the frames that each persona remembers, by name."""
        with redis.Redis.from_url(self._cluster.redis_url) as client:
            kept = {
                each.name: client.lrange(backup_keys(self.spec, each, "scripted")[0], 0, -1)
                for each in self.spec.personas
            }
        return {
            name: read_chunks(chunks)[0].tokens[:, 0].tolist()  # type: ignore[arg-type]  # redis-py's union of both clients
            for name, chunks in kept.items()
        }


@asynccontextmanager
async def talk(
    cluster: Cluster, *personas: str, only_reads: bool = False, **asked: Any
) -> AsyncGenerator[Talk]:
    """Open a room in which these personas have begun to talk; `asked` has more of the request."""
    body = asking_for(*personas) | asked
    async with person(cluster.url, body, only_reads=only_reads) as ann:
        talk = Talk(cluster, ann)
        await talk.is_hosted(1)
        talk.personas = talk.spec.personas
        yield talk


def forgotten(talk: Talk) -> dict[str, list[tuple[int, int]]]:
    """Return the frames between which each persona's memory breaks off; {}: nowhere.

    A backup keeps a minute: in a longer call the first host's frames are gone.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for name, frames in talk.remembered().items():
        breaks = [(frame, after) for frame, after in pairwise(frames) if after != frame + 1]
        if frames[0] > 2 and len(frames) < KEPT_FRAMES:
            breaks.insert(0, (-1, frames[0]))
        if breaks:
            found[name] = breaks
    return found


def said(room: Talk) -> list[SaidEvent]:
    """Return the ends of the lines that personas were told to say."""
    return [each for each in room.events if isinstance(each, SaidEvent)]
