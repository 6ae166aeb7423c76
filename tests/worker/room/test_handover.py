"""How a room's host stops so that the one that stands by goes on; stand-ins replace the room."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from protocol import wire
from worker.room.handover import (
    PAUSE_FRAMES,
    READY,
    SETTLE_FRAMES,
    WAIT_MOST_FRAMES,
    Moment,
    OtherHosts,
)
from worker.sound.audience import is_heard

AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


def frame_of_moment(ready_from: int, quiet: range, lost: range = range(0)) -> int:
    """Return the frame of the moment; the other host is ready from a frame on, except in `lost`."""
    moment = Moment()
    return next(
        frame
        for frame in range(10 * WAIT_MOST_FRAMES)
        if moment.has_come(
            is_ready=frame >= ready_from and frame not in lost, is_quiet=frame in quiet
        )
    )


@pytest.mark.parametrize(
    ("quiet", "frame"),
    [
        (range(0, 1000), SETTLE_FRAMES),
        (range(50, 60), 49 + PAUSE_FRAMES),
        (range(50, 49 + PAUSE_FRAMES), WAIT_MOST_FRAMES),
    ],
    ids=["quiet from the start", "a pause", "too short a pause"],
)
def test_the_moment_is_a_pause_or_the_latest_frame(quiet: range, frame: int) -> None:
    """The room moves in a pause after `SETTLE_FRAMES`, or else at `WAIT_MOST_FRAMES`."""
    assert frame_of_moment(1, quiet) == frame


def test_the_count_starts_again_when_the_other_host_is_lost() -> None:
    """Only frames since the host that stands by was ready for good count."""
    assert frame_of_moment(0, range(0), range(100, 200)) == 199 + WAIT_MOST_FRAMES


@pytest.mark.parametrize("generation", ["", "v2", "9" * 5_000])
async def test_an_agent_whose_generation_is_no_number_is_no_other_host(generation: str) -> None:
    """A foreign agent's attributes neither fail nor delay a move, and it is heard."""
    foreign = {
        wire.ATTR_GENERATION: generation,
        wire.ATTR_HANDOVER: READY,
        wire.ATTR_ON_BEHALF: "agent-other",
    }
    agent: Any = SimpleNamespace(kind=AGENT, attributes=foreign)
    room: Any = SimpleNamespace(
        remote_participants={"foreign": agent}, local_participant=SimpleNamespace(identity="agent")
    )
    others = OtherHosts(room, 1)

    assert (others.one_is_ready, others.stop_notice) == (False, "")
    async with asyncio.timeout(0.01):
        await others.shown()
    assert is_heard(agent, room)
