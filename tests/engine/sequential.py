"""A prompted conversation alone, as upstream would run it: one frame per step, greedy.

moshi 0.2.13 `LMGen` with its hooks: call n sees codebook 0 of frame n + 1 and the delayed codebooks
of frame n, so a frame's tokens are forced in two calls.
"""

from collections.abc import Sequence

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile

from tests.engine.solo import Call
from worker.engine.model import Pcm, Tokens


@torch.inference_mode()
def prompted(
    lm: LMModel,
    mimi: MimiModel,
    frames: Tokens,
    heard: Sequence[Pcm],
    *,
    waited: int = 0,
) -> Call:
    """Force `frames` `[P, 1 + n_q]`, then let the model go on freely, hearing `heard`.

    The person is heard from the last frame of the prompt on. `waited`: after the first frame of
    `heard`, which is lost, the agent is silent for so many more, as in the prompt's last frame.
    """
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
        live = [_encode(mimi, frame, n) for n, frame in enumerate(heard)]
        if waited:
            live = live[1:]
        alone = len(frames) - 1 - waited
        for n in range(alone + len(live)):
            call_number = n
            user = torch.from_numpy(frames[min(n, alone), 1 + lm.dep_q :])[None, :, None]
            tokens = lm_gen.step(live[n - alone] if n >= alone else user)
            if n >= alone + waited:
                assert tokens is not None
                call.wrote.append(int(tokens[0, 0, 0]))
                call.said.append(mimi.decode(tokens[:, 1:])[0, 0].numpy())
    return call


def _encode(mimi: MimiModel, frame: Pcm, n: int) -> torch.Tensor:
    """As moshi 0.2.13 server.py `recv_loop`: the first frame leaves no trace."""
    codes = mimi.encode(torch.from_numpy(frame)[None, None])
    if n == 0:
        mimi.reset_streaming()
    return codes
