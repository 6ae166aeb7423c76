"""Ogg/Opus of clients: cut into pages, counted before it is decoded, refused if malformed."""

import random

import numpy as np
import pytest
import sphn

from harness.recordings import speech
from worker.frames import RATE_HZ
from worker.websocket.messages import BadMessage
from worker.websocket.opus import (
    MOST_PACKETS,
    OpusReader,
    OpusWriter,
    PageCutter,
    packets_of,
)

FRAME = 1920
SPEECH = speech(2.0)


def encoded() -> list[bytes]:
    """Return two seconds of speech as a client sends it, one message for each frame."""
    writer = OpusWriter()
    return [writer.encode(frame) for frame in SPEECH.reshape(-1, FRAME)]


def decoded(pages: list[bytes]) -> list[np.ndarray]:
    """Return the frames of pages."""
    reader = OpusReader()
    return [frame for page in pages for frame in reader.decode(page)]


@pytest.mark.parametrize("piece", [1, 7, 300, 100_000])
def test_pages_are_found_however_they_are_cut(piece: int) -> None:
    """Pages are found where messages end within a page or hold several."""
    stream = b"".join(encoded())
    cutter = PageCutter()
    pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
    pages = [page for each in pieces for page in cutter.feed(each)]

    assert b"".join(pages) == stream
    assert len(decoded(pages)) == len(SPEECH) // FRAME


def test_decoded_speech_is_like_the_original() -> None:
    """Encoded and decoded speech is less than 50 ms late and correlates with the original."""
    sound = np.concatenate(decoded(encoded()))
    lag = 0.05 * RATE_HZ  # of the codec
    both = np.correlate(sound[: FRAME * 12], SPEECH[: FRAME * 12], "full")
    at = int(np.argmax(both)) - (FRAME * 12 - 1)

    assert 0 <= at < lag
    alike = np.corrcoef(sound[at:], SPEECH[: len(sound) - at])[0, 1]
    assert alike > 0.8


def test_frames_of_20_ms_are_joined() -> None:
    """Packets of 20 ms, as Moshi's web client sends them, are joined to frames of 80 ms."""
    writer = sphn.OpusStreamWriter(RATE_HZ)
    pages = [bytes(writer.append_pcm(part)) for part in SPEECH.reshape(-1, 480)]
    cutter = PageCutter()
    whole = [page for each in pages for page in cutter.feed(each)]

    assert {len(frame) for frame in decoded(whole)} == {FRAME}
    assert len(decoded(whole)) == len(SPEECH) // FRAME


def test_a_page_of_many_packets_is_refused_before_it_is_decoded() -> None:
    """A small page with more packets than allowed is refused: it could hold half a minute."""
    table = bytes([1] * MOST_PACKETS)
    page = b"OggS" + bytes(22) + bytes([len(table)]) + table + bytes(len(table))
    (whole,) = PageCutter().feed(page)

    with pytest.raises(BadMessage, match="at most 63"):
        packets_of(whole)


@pytest.mark.parametrize("table", [[0], [0, 0], [0, 9], [9, 0], [9, 0, 9], [9, 0, 0]])
def test_packets_without_bytes_make_no_sound(table: list[int]) -> None:
    """A packet without bytes makes no sound: libopus would make five seconds of each."""
    stream = encoded()
    page = b"OggS" + bytes(22) + bytes([len(table), *table]) + bytes(sum(table))
    reader = OpusReader()
    frames = [
        frame
        for message in (*stream[:2], page, page, *stream[2:])
        for _, whole in reader.split(message)
        for frame in reader.decode(whole)
    ]

    assert len(frames) <= len(stream) + 2


def test_a_packet_that_ends_on_the_next_page_is_whole() -> None:
    """A packet of 255 bytes ends with an empty segment, which the next page may have."""
    packet = bytes([0x48]) + bytes(254)  # 20 ms of SILK
    heads = encoded()[0]
    pages = [
        b"OggS" + bytes(22) + bytes([1, 255]) + packet,
        b"OggS" + bytes(22) + bytes([1, 0]),
    ]
    reader = OpusReader()
    for _, head in reader.split(heads):
        reader.decode(head)
    found = [reader.decode(whole) for page in 4 * pages for _, whole in reader.split(page)]

    assert [len(frames) for frames in found] == [*7 * [0], 1]  # four packets are a frame


def test_bytes_that_are_no_page_are_refused() -> None:
    """Raw PCM, a WAV file and text are refused with a sentence."""
    for content in (bytes(100), b"RIFF" + bytes(40), b"hello"):
        with pytest.raises(BadMessage, match="expected Ogg pages"):
            list(PageCutter().feed(content))


def test_damaged_pages_raise_no_other_error() -> None:
    """Pages with flipped bytes are decoded or refused as `BadMessage`, in a short sentence."""
    chance = random.Random(1)
    stream = b"".join(encoded()[:4])
    outcomes = {"sound": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(stream)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        reader = OpusReader()
        try:
            for page in PageCutter().feed(bytes(damaged)):
                packets_of(page)
                reader.decode(page)
            outcomes["sound"] += 1
        except BadMessage as error:
            assert len(str(error).encode()) <= 123  # the reason of a close frame
            outcomes["refused"] += 1

    assert outcomes["refused"] > 0
