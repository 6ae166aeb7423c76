"""Plain PCM of clients: joined to frames wherever a message ends, clipped when sent."""

import numpy as np
import pytest

from worker.websocket.pcm import PACKET_BYTES, PcmReader, PcmWriter

FRAME = 1920
SOUND = np.linspace(-1.0, 1.0, 5 * FRAME + 7, dtype=np.float32)


@pytest.mark.parametrize("piece", [1, 7, 960, 65_536])
def test_frames_are_whole_however_messages_end(piece: int) -> None:
    """A message may end within a sample; an incomplete frame waits for the next message."""
    reader, sent = PcmReader(), PcmWriter().encode(SOUND)
    messages = [sent[at : at + piece] for at in range(0, len(sent), piece)]
    frames = [
        frame
        for each in messages
        for _, part in reader.split(each)
        for frame in reader.decode(part)
    ]

    assert {len(frame) for frame in frames} == {FRAME}
    np.testing.assert_allclose(np.concatenate(frames), SOUND[: 5 * FRAME], atol=1e-4)


def test_a_message_costs_as_many_packets_as_it_has() -> None:
    """A message counts its packets of 20 ms, a last part as one, and an empty message none."""
    sizes = (0, 1, PACKET_BYTES, PACKET_BYTES + 1, 10 * PACKET_BYTES)
    reader = PcmReader()

    assert [sum(packets for packets, _ in reader.split(bytes(size))) for size in sizes] == [
        *(0, 1, 1, 2, 10)
    ]


def test_loud_sound_is_clipped() -> None:
    """Samples beyond the range are clipped and do not wrap around."""
    loud = np.array([-3.0, 0.0, 3.0], dtype=np.float32)

    assert np.frombuffer(PcmWriter().encode(loud), "<i2").tolist() == [-32767, 0, 32767]
