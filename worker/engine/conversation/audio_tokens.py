"""Codes of recordings, of silence and of PersonaPlex's sine.

Engine thread, or the loading thread before there is an engine.
"""

import numpy as np
import structlog
import torch
from moshi.utils.compile import no_compile

from worker.engine.arrays import Pcm, Tokens
from worker.engine.network.codec import CodecWeights, Decoder, Encoder
from worker.engine.network.memory import Memory, Snapshot

log = structlog.get_logger(__name__)

SETTLING_FRAMES = 12  # until a steady sound's codes no longer depend on its beginning

# What the user's channel hears while PersonaPlex is prompted (NVIDIA/personaplex 3428dfd lm.py
# `create_sinewave`: each frame begins anew), and what both give for the Mimi that was released
# (ibid. `SILENCE_TOKENS`, `SINE_TOKENS`).
SINE_HZ, SINE_LEVEL = 440.0, 0.5
RELEASED_SILENCE = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
RELEASED_SINE = (430, 1268, 381, 1611, 1095, 1495, 56, 472)


@torch.inference_mode()
@no_compile()
def encode(weights: CodecWeights, pcm: Pcm) -> Tokens:
    """Encode a recording `[S]` from its beginning: `[T, K]`; a frame cut short ends in silence."""
    size = weights.mimi.frame_size
    frames = np.pad(pcm, (0, -len(pcm) % size)).reshape(-1, size)
    device = weights.table.device
    memory = Memory(1, device)
    encoder = Encoder(weights, memory.rows(1, "codec"))
    always = torch.ones(1, dtype=torch.bool, device=device)
    sound = torch.from_numpy(frames).to(device)
    codes = [encoder(frame[None, None], always) for frame in sound]
    return torch.cat(codes).cpu().numpy() if codes else np.zeros((0, 0), dtype=np.int64)


@torch.inference_mode()
@no_compile()
def decoded_once(weights: CodecWeights, codes: Tokens) -> Snapshot:
    """Return the state of the decoder after one frame of these codes `[K]`, for any slot."""
    device = weights.table.device
    memory = Memory(1, device)
    decoder = Decoder(weights, memory.rows(1, "codec"))
    always = torch.ones(1, dtype=torch.bool, device=device)
    decoder(torch.from_numpy(codes).to(device)[None], always)
    return memory.save(0, "codec")


def silence_codes(weights: CodecWeights, *, released: bool) -> Tokens:
    """Return the codes of silence, `[K]`; `released`: Kyutai's own Mimi."""
    frame = np.zeros(weights.mimi.frame_size, dtype=np.float32)
    return _steady(weights, frame, RELEASED_SILENCE if released else None)


def sine_codes(weights: CodecWeights, *, released: bool) -> Tokens:
    """Return the codes of PersonaPlex's sine, `[K]`; `released`: Kyutai's own Mimi."""
    seconds = np.arange(weights.mimi.frame_size) / weights.mimi.sample_rate
    frame = (SINE_LEVEL * np.sin(2 * np.pi * SINE_HZ * seconds)).astype(np.float32)
    return _steady(weights, frame, RELEASED_SINE if released else None)


def _steady(weights: CodecWeights, frame: Pcm, published: tuple[int, ...] | None) -> Tokens:
    """Return the codes of a frame that is repeated for long.

    Where codes were published, the model was trained with them, so they are used. A Mimi that gives
    others is not the one they were published for.
    """
    heard = encode(weights, np.tile(frame, SETTLING_FRAMES))
    if published is None:
        return heard[-1]
    wanted = np.array(published, dtype=np.int64)
    if not (heard[:, : len(wanted)] == wanted).all(axis=1).any():
        log.warning("codes_differ", published=wanted.tolist(), computed=heard[-1].tolist())
    return wanted
