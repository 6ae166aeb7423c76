"""One greedy conversation alone, as upstream runs it: moshi 0.2.13 `LMGen`, Mimi at batch 1."""

from dataclasses import dataclass, field

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile

from worker.engine.arrays import Pcm
from worker.engine.model import StepOut


@dataclass(slots=True)
class Call:
    """What one occupant of a slot heard, said and wrote."""

    heard: list[Pcm] = field(default_factory=list)
    said: list[Pcm] = field(default_factory=list)
    wrote: list[int] = field(default_factory=list)

    def take(self, out: StepOut, slot: int) -> None:
        """Append a slot's row of a step, if it is valid."""
        if out.valid[slot]:
            self.said.append(out.pcm[slot].copy())
            self.wrote.append(int(out.text[slot]))


@torch.inference_mode()
def alone(lm: LMModel, mimi: MimiModel, heard: list[Pcm]) -> Call:
    """Run frames through upstream as moshi 0.2.13 server.py `recv_loop` does."""
    call = Call(heard)
    lm_gen = LMGen(lm, use_sampling=False)
    # Upstream compiles some parts at their first call, which needs a C compiler and many seconds.
    with no_compile(), lm_gen.streaming(1), mimi.streaming(1):
        for n, frame in enumerate(heard):
            codes = mimi.encode(torch.from_numpy(frame)[None, None].to(lm.device))
            if n == 0:
                mimi.reset_streaming()
            tokens = lm_gen.step(codes)
            if tokens is not None:
                call.said.append(mimi.decode(tokens[:, 1:9])[0, 0].cpu().numpy())
                call.wrote.append(int(tokens[0, 0, 0]))
    return call


def sound(rng: np.random.Generator, frame_samples: int = 1920) -> Pcm:
    """Return a frame of noise of a random loudness."""
    noise = rng.normal(size=frame_samples) * rng.uniform(0.01, 0.5)
    return noise.astype(np.float32)
