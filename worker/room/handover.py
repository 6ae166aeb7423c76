"""How a room that moves changes its host: one stands by, the other stops at a pause.

Room's event loop. The two hosts see each other's first persona in the room: its attribute
`ATTR_HANDOVER` is "ready" on the one that stands by, then "over …" on the one that has stopped. The
memory goes by redis (`worker/backup`). A host that is lost leaves the room, and so counts as one
that has stopped.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
from livekit import rtc

from protocol import wire
from protocol.presence import host_generation
from protocol.room_spec import RoomSpec
from worker.backup.store import BackupStore
from worker.frames import FRAME_S
from worker.grid import wait_for_tick
from worker.livekit_private.attributes import set_attributes
from worker.room.personas import RoomPersonas
from worker.sound.ears import Ears

log = structlog.get_logger(__name__)

READY = "ready"
OVER = "over"
MOVED = "another worker has taken over"  # a reason to leave
SETTLE_FRAMES = 13  # 1 s: clients subscribe to the new voices
PAUSE_FRAMES = 3  # 0.24 s without a word or a sound of anybody
WAIT_MOST_FRAMES = 125  # 10 s for such a pause, in which no answer of a mind is awaited
STOP_WITHIN_S = 0.3  # to publish the last words
TELL_WITHIN_S = 1.0
SHOWN_WITHIN_S = 2.0


class Moment:
    """Finds the frame at which a host stops: in a pause, or after a while. Pure."""

    def __init__(self) -> None:
        self._ready_frames = self._quiet_frames = 0

    def has_come(self, *, is_ready: bool, is_quiet: bool) -> bool:
        """Take a frame: does another host stand by, and is the room quiet?"""
        self._ready_frames = self._ready_frames + 1 if is_ready else 0
        self._quiet_frames = self._quiet_frames + 1 if is_quiet else 0
        pauses = self._ready_frames >= SETTLE_FRAMES and self._quiet_frames >= PAUSE_FRAMES
        return pauses or self._ready_frames >= WAIT_MOST_FRAMES


class OtherHosts:
    """The hosts of one room but for one's own, as their personas in the room show."""

    def __init__(self, room: rtc.Room, generation: int) -> None:
        self._room, self._generation = room, generation

    @property
    def one_is_ready(self) -> bool:
        """Whether the next host stands by."""
        return any(
            told == READY and generation > self._generation for generation, told in self._told()
        )

    @property
    def stop_notice(self) -> str | None:
        """The notice of the host before: empty once it has left, None until it has stopped."""
        before = [told for generation, told in self._told() if generation < self._generation]
        if not before:
            return ""
        return next((told for told in before if told.startswith(OVER)), None)

    async def stopped(self) -> str:
        """Wait until the host before has stopped; return its notice."""
        changed = asyncio.Event()
        for event in ("participant_attributes_changed", "participant_disconnected"):
            self._room.on(event, lambda *_: changed.set())
        while (notice := self.stop_notice) is None:
            await changed.wait()
            changed.clear()
        return notice

    async def shown(self) -> None:
        """Wait until the personas of the next host are shown, so that none is missing."""
        async with asyncio.timeout(SHOWN_WITHIN_S):
            while any(  # noqa: ASYNC110 - each of them may change or leave
                generation > self._generation
                and (wire.ATTR_HANDOVER in attributes or wire.ATTR_ON_BEHALF in attributes)
                for generation, attributes in self._shown()
            ):
                await asyncio.sleep(FRAME_S)

    def _told(self) -> Iterable[tuple[int, str]]:
        """Return each other persona's generation and what its host tells with it."""
        for generation, attributes in self._shown():
            yield generation, attributes.get(wire.ATTR_HANDOVER, "")

    def _shown(self) -> Iterable[tuple[int, dict[str, str]]]:
        """Return each other persona's generation and attributes."""
        for other in self._room.remote_participants.values():
            generation = host_generation(other.attributes)
            if other.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and generation is not None:
                yield generation, other.attributes


class HandOver:
    """The end of a host that is followed by another one."""

    def __init__(
        self,
        room: rtc.Room,
        others: OtherHosts,
        backups: BackupStore | None,
        leave: Callable[[str], None],
    ) -> None:
        self._room, self._others, self._backups, self._leave = room, others, backups, leave
        self._moment = Moment()
        self._has_begun = self._has_waited = False

    def is_due(self, spec: RoomSpec, personas: RoomPersonas, *, is_busy: bool) -> bool:
        """Take a frame; return, once, whether to `run` now.

        `is_busy`: a person speaks, or waits for the answer of a mind.
        """
        if not spec.standby:
            self._has_begun = False  # after a move that was given up another one may come
            return False
        if self._has_begun:
            return False
        is_quiet = personas.are_quiet and not is_busy
        self._has_begun = self._moment.has_come(
            is_ready=self._others.one_is_ready, is_quiet=is_quiet
        )
        return self._has_begun

    async def run(self, personas: RoomPersonas) -> None:
        """Let the host that stands by take over, and leave. Not while redis is away."""
        if self._backups is not None and not await self._backups.answers():
            if not self._has_waited:
                log.warning("handover_waits", reason="redis does not answer")
            self._has_begun, self._has_waited = False, True
            return
        await hand_over(self._room, personas, self._backups)
        with suppress(TimeoutError):
            await self._others.shown()
        self._leave(MOVED)


async def hand_over(room: rtc.Room, personas: RoomPersonas, backups: BackupStore | None) -> None:
    """Stop the personas, keep what they remember, and tell the host that stands by."""
    holder = personas.floor_holder or ""
    stopping = [asyncio.create_task(each.stop(is_moved=True)) for each in personas.present]
    if stopping:
        await asyncio.wait(stopping, timeout=STOP_WITHIN_S)
    try:
        if backups is not None:
            await backups.written()
        await _tell(room, f"{OVER} {holder}")
    except Exception as error:  # of several kinds; the other host takes over as this one leaves
        log.warning("handover_not_told", error=type(error).__name__)


async def stand_by(
    room: rtc.Room, others: OtherHosts, personas: RoomPersonas, ears: Ears, spec: RoomSpec
) -> str:
    """Join in silence and wait until the host before has stopped; return who had the floor."""
    await personas.apply_spec(spec)
    await _tell(room, READY)
    log.info("host_stands_by", personas=len(personas.present))
    silence = asyncio.create_task(_keep_silence(personas, ears), name="silence")
    try:
        return (await others.stopped()).removeprefix(OVER).strip()
    finally:
        silence.cancel()


async def _keep_silence(personas: RoomPersonas, ears: Ears) -> None:
    """Play silence, so that clients have the voices before they sound."""
    while True:
        await wait_for_tick()
        ears.next_frame()
        for persona in personas.present:
            persona.play_silence()


async def _tell(room: rtc.Room, told: str) -> None:
    async with asyncio.timeout(TELL_WITHIN_S):
        await set_attributes(room, {wire.ATTR_HANDOVER: told})
