"""How much of a client's sound is read at once; a stand-in replaces the WebSocket."""

from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiohttp import WSMsgType

from worker.frames import RATE_HZ
from worker.websocket import client
from worker.websocket.client import PACKETS_PER_S, SoundReader, WebSocketClient
from worker.websocket.conversation import MoshiReader
from worker.websocket.messages import AUDIO
from worker.websocket.opus import PageCutter
from worker.websocket.pcm import PcmReader

HEADS = 2  # pages of Ogg/Opus before its sound


def as_pcm(packet_ms: int) -> list[bytes]:
    """Return a second of silence as 16-bit samples, a message for each packet."""
    return [bytes(2 * RATE_HZ * packet_ms // 1000)] * (1000 // packet_ms)


def as_opus(packet_ms: int) -> list[bytes]:
    """Return a second of silence as Moshi's messages of Ogg/Opus, a page for each packet."""
    file, size = BytesIO(), RATE_HZ * packet_ms // 1000
    with av.open(file, "w", format="ogg", options={"page_duration": "1"}) as ogg:
        options = {"frame_duration": str(packet_ms)}
        stream = ogg.add_stream("libopus", rate=RATE_HZ, layout="mono", options=options)
        for n in range(1000 // packet_ms):
            silence = np.zeros((1, size), dtype=np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, n * size
            ogg.mux(stream.encode(frame))
    return [AUDIO + page for page in PageCutter().feed(file.getvalue())]


@pytest.mark.parametrize("packet_ms", [5, 10, 20])
@pytest.mark.parametrize(("reader", "sound"), [(PcmReader, as_pcm), (MoshiReader, as_opus)])
async def test_a_second_of_small_packets_takes_no_more_than_a_seconds_allowance(
    monkeypatch: pytest.MonkeyPatch,
    reader: Callable[[], SoundReader],
    sound: Callable[[int], list[bytes]],
    packet_ms: int,
) -> None:
    """Sound in packets of 5 ms and more is read as fast as it is spoken."""
    taken: list[float] = []
    allowance = SimpleNamespace(take=lambda amount: not taken.append(amount))
    monkeypatch.setattr(client, "Allowance", lambda *_: allowance)
    waiting = sound(packet_ms)[::-1]

    async def receive() -> Any:
        if not waiting:
            return SimpleNamespace(type=WSMsgType.CLOSE)
        return SimpleNamespace(type=WSMsgType.BINARY, data=waiting.pop())

    ws: Any = SimpleNamespace(receive=receive)
    await WebSocketClient(ws, 1.0).run(reader())

    assert len(taken) <= sum(taken) <= PACKETS_PER_S + HEADS
