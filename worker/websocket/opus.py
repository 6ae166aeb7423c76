"""Sound of WebSocket clients: Ogg/Opus in both directions, a page and a frame at a time.

A hostile page of a few hundred bytes can hold half a minute of sound. So pages are cut apart and
their packets counted before any is decoded. Packets without bytes are left out: of each libopus
makes five seconds of sound, as if that much had been lost.
"""

from collections.abc import Iterator

import numpy as np
import sphn

from worker.engine.arrays import Pcm
from worker.frames import FRAME_SAMPLES, RATE_HZ
from worker.websocket.messages import BadMessage

PAGE_MARK = b"OggS"
PAGE_HEAD = 27  # bytes before the table of segments, whose length is the last of them (RFC 3533)
FULL_SEGMENT = 255  # a packet ends with the first segment that is shorter
MOST_PACKETS = 64  # of a page; opus-recorder writes 2 in Moshi's page, and 40 unless told


class PageCutter:
    """Cuts a stream of bytes into Ogg pages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each page that is whole now. Raises `BadMessage` for what is no page."""
        self._rest += data
        while (size := _page_size(self._rest)) and len(self._rest) >= size:
            page, self._rest = self._rest[:size], self._rest[size:]
            yield page


def packets_of(page: bytes) -> int:
    """Return how many packets a page may hold. Raises `BadMessage` for too many."""
    segments = page[PAGE_HEAD : PAGE_HEAD + page[PAGE_HEAD - 1]]
    packets = sum(size < FULL_SEGMENT for size in segments) + _is_cut(page)
    if packets >= MOST_PACKETS:
        raise BadMessage(f"expected at most {MOST_PACKETS - 1} Opus packets on a page")
    return max(1, packets)


def without_empty_packets(page: bytes, *, goes_on: bool) -> bytes:
    """Return a page without its packets of no bytes. sphn 0.2.1 does not read its checksum.

    `goes_on`: the page begins with the rest of the last page's packet.
    """
    head = PAGE_HEAD + page[PAGE_HEAD - 1]
    sizes = page[PAGE_HEAD:head]
    before = bytes([FULL_SEGMENT if goes_on else 0]) + sizes
    kept = bytes(
        size for last, size in zip(before, sizes, strict=False) if size or last == FULL_SEGMENT
    )
    return page[: PAGE_HEAD - 1] + bytes([len(kept)]) + kept + page[head:]


def _is_cut(page: bytes) -> bool:
    """Return whether the next page has the rest of this one's last packet."""
    return page[PAGE_HEAD : PAGE_HEAD + page[PAGE_HEAD - 1]].endswith(bytes([FULL_SEGMENT]))


def _page_size(data: bytes) -> int:
    """Return the size of the page that begins here; 0 while its head is incomplete."""
    if not data.startswith(PAGE_MARK[: len(data)]):
        raise BadMessage("expected Ogg pages with Opus, 24 kHz, mono")
    if len(data) < PAGE_HEAD or len(data) < (head := PAGE_HEAD + data[PAGE_HEAD - 1]):
        return 0
    return head + sum(data[PAGE_HEAD:head])


class OpusReader:
    """Decodes one client's pages into frames. Called by one thread at a time."""

    def __init__(self) -> None:
        self._cutter = PageCutter()
        self._reader = sphn.OpusStreamReader(RATE_HZ)
        self._rest = np.zeros(0, dtype=np.float32)
        self._goes_on = False  # the next page begins with the rest of a packet

    def split(self, message: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each page that is whole now, with how many packets it may hold."""
        for page in self._cutter.feed(message):
            packets = packets_of(page)
            filled = without_empty_packets(page, goes_on=self._goes_on)
            self._goes_on = _is_cut(filled)
            yield packets, filled

    def decode(self, piece: bytes) -> list[Pcm]:
        """Return the frames of a page that are whole now, `[1920]` float32.

        Raises `BadMessage`.
        """
        try:
            pcm = self._reader.append_bytes(piece)
        except ValueError as error:
            raise BadMessage(f"expected Ogg pages with Opus: {error}"[:100]) from error
        pcm = np.concatenate((self._rest, np.clip(pcm, -1.0, 1.0)))
        whole = len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = pcm[whole:]
        return list(pcm[:whole].reshape(-1, FRAME_SAMPLES))


class OpusWriter:
    """Encodes one persona's frames into pages. Called by one thread at a time."""

    def __init__(self) -> None:
        self._writer = sphn.OpusStreamWriter(RATE_HZ)

    def encode(self, pcm: Pcm) -> bytes:
        """Return the pages of a frame, `[1920]` float32."""
        return bytes(self._writer.append_pcm(np.clip(pcm, -1.0, 1.0)))
