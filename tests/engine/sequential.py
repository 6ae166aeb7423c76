"""A prompted conversation alone, as upstream runs it: one frame per step, greedy.

NVIDIA/personaplex 3428dfd: lm.py `step_system_prompts`, then server.py `opus_loop`, whose encoder
counts from the first frame. On moshi 0.2.13 `LMGen` with its hooks, which reads a frame one call
sooner than NVIDIA's: call n reads codebook 0 of frame n + 1 and the delayed codebooks of frame n,
so a frame's tokens are forced in two calls.
"""

from collections.abc import Sequence

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile

from tests.engine.solo import Call
from worker.engine.arrays import Pcm, Tokens


@torch.inference_mode()
def prompted(
    lm: LMModel,
    mimi: MimiModel,
    frames: Tokens,
    heard: Sequence[Pcm],
    *,
    waited: int = 0,
) -> Call:
    """Force `frames` `[P, 1 + n_q]`, then let the model go on freely and hear `heard`.

    The call that is returned begins with the frame after the prompt; the silence that ends the
    prompt is played before it. `waited`: for so many frames of `heard` the agent is silent, as in
    the prompt's last frame, and they are not part of the call.
    """
    count = len(frames)
    frames = np.concatenate([frames, np.tile(frames[-1:], (waited, 1))])
    call = Call()
    lm_gen = LMGen(lm, use_sampling=False)
    call_number = 0

    def force_text(token: torch.Tensor) -> None:
        if call_number + 1 < len(frames):
            token[:] = int(frames[call_number + 1, 0])

    def force_audio(codes: torch.Tensor) -> None:
        for k in range(lm.dep_q):
            frame = call_number + 1 - lm.delays[1 + k]
            if frame < len(frames):
                codes[:, k] = int(frames[frame, 1 + k])

    lm_gen.on_text_hook, lm_gen.on_audio_hook = force_text, force_audio
    with no_compile(), lm_gen.streaming(1), mimi.streaming(1):
        prompt = [
            torch.from_numpy(frame)[None, :, None] for frame in frames[:count, 1 + lm.dep_q :]
        ]
        live = [mimi.encode(torch.from_numpy(frame)[None, None]) for frame in heard]
        for call_number, user in enumerate([*prompt, *live]):
            tokens = lm_gen.step(user)
            if call_number < count - 1:
                continue
            assert tokens is not None
            pcm = mimi.decode(tokens[:, 1:])[0, 0].numpy()
            if call_number >= len(frames):
                call.wrote.append(int(tokens[0, 0, 0]))
                call.said.append(pcm)
    return call
