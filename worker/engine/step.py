"""The batched step: PCM of all slots in; PCM and text tokens of all slots out.

Holds the slots' memory, the input and output buffers, and one graph for each batch size
(`network/graphs.py`, `captured.py`). Engine thread only.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from protocol.personas import Persona
from protocol.sampling import MOST_AUDIO_TOP_K, MOST_TEXT_TOP_K, UsualSampling
from worker.engine import metrics
from worker.engine.arrays import Mask, Pcm
from worker.engine.background import BackgroundWork
from worker.engine.conversation.forcing import Forcing
from worker.engine.conversation.history import History
from worker.engine.conversation.prompt_state import PromptReading, Prompts
from worker.engine.conversation.renewal import Renewal
from worker.engine.conversation.renewal_rules import RenewalRules, history_frames
from worker.engine.conversation.responsiveness import Responsiveness
from worker.engine.conversation.say import Done
from worker.engine.kv_choice import OWN_TYPE, KvMemory
from worker.engine.model import Remembered, StepColumns, StepOut
from worker.engine.network.captured import BatchSizes
from worker.engine.network.codec import CodecWeights
from worker.engine.network.depformer import ForcedTokens
from worker.engine.network.drawing import FirstTokens
from worker.engine.network.graphs import (
    CHANCE,
    CHANCES,
    COLUMN,
    DRAWS,
    FINITE,
    NEXT_TEXT,
    TEXT,
    UNFORCED,
    VALID,
    StepBuffers,
    StepGraph,
)
from worker.engine.network.language import Prefill, Weights
from worker.engine.network.memory import Memory
from worker.engine.network.sampler import SamplingState, Widths


class MoshiStep:
    """A `BatchedStep` over an `LMModel` and a `MimiModel` of moshi 0.2.13.

    Without prompts an occupant's first frame goes as in moshi 0.2.13 server.py `recv_loop`: it is
    encoded, then the encoder is reset, so that the second frame is padded on the left as a first
    one again. Here the encoder simply does not advance at the first frame. A row gives its first
    frame out at its second frame in (acoustic delay 1).

    With prompts it goes as in NVIDIA/personaplex 3428dfd server.py `opus_loop`: the encoder counts
    from the first frame on, and what follows the prompt was drawn before it (`FirstTokens`), so a
    row gives a frame out at its first frame in.

    A row that went NaN in logits or sound comes back invalid, its memory is zeroed and its session
    begins again, counted in `metrics.RENEWED_SLOTS`; others are renewed before their ring is full
    (`renewal.py`). On a CPU a step costs what its highest running slot costs, so keep slots dense;
    on CUDA what the next of `batch_sizes` costs.
    """

    def __init__(
        self,
        lm: LMModel,
        mimi: MimiModel,
        capacity: int,
        *,
        batch_sizes: Sequence[int] | None = None,
        rules: RenewalRules | None = None,
        reading: PromptReading | None = None,
        usual: UsualSampling | None = None,
        stored: KvMemory = OWN_TYPE,
    ) -> None:
        device, reading, rules = lm.device, reading or PromptReading(), rules or RenewalRules()
        self._usual = usual or UsualSampling()
        self.memory = Memory(capacity, device)
        self.background = BackgroundWork()
        self._cuda = device.type == "cuda"
        self._cards = Widths(text=len(lm.text_linear.get_parameter("weight")), audio=lm.card)
        self.widths = self._cards.at_most(MOST_TEXT_TOP_K, MOST_AUDIO_TOP_K)
        self._width_of: dict[int, tuple[int, int]] = {}
        streams = 1 + lm.n_q
        count = COLUMN + streams + lm.n_q - lm.dep_q
        buffers = self.buffers = StepBuffers.of(device, capacity, mimi.frame_size, count)
        numbers = self._numbers = buffers.numbers_out.host.numpy()
        # What the model read in the last step, `[B, 1 + n_q]`, and the user's codes, `[B, K]`;
        # rows that did not run mean nothing.
        self.columns = numbers[:, COLUMN : COLUMN + streams]
        self._heard = numbers[:, COLUMN + streams :]
        rows = self.memory.rows(capacity, "sampling")
        self._sampling, self.forced = SamplingState.of(rows), ForcedTokens.of(rows, lm.dep_q)
        self._draws = rows.take("frame")
        with torch.no_grad():  # not inference mode: the weights stay of use to others
            self.weights, codec = Weights(lm, stored), CodecWeights(mimi, kernels=stored.kernels)
            shared = (self.memory, buffers, self.widths, self.weights, codec)
            make = partial(StepGraph, *shared, keeps_first=reading.prompted)
            inputs = buffers.pcm_in, buffers.exec_in
            outputs = buffers.pcm_out, buffers.numbers_out
            self._batches = BatchSizes(make, capacity, batch_sizes, inputs, outputs)
            self.graphs = self._batches.steps
            self._first = FirstTokens(lm, self.weights.depformer_in, self.memory, self.widths)
            self._batches.capture()
        self.renewal = self._make_renewal(lm, rules)
        self.forcing = Forcing(
            self.memory,
            self.background,
            self.weights,
            self.forced,
            Prompts(self.weights, codec, reading),
            self._first.draw,
            self.renewal.begin,
            self.renewal.resume,
            self.renewal.read_on,
        )

    def _make_renewal(self, lm: LMModel, rules: RenewalRules) -> Renewal:
        context, highest = lm.context or 0, max(lm.text_card, lm.card)
        no_words = (lm.text_padding_token_id, lm.end_of_text_padding_id)
        return Renewal(
            self.memory,
            self.background,
            partial(Prefill, self.weights),
            History(self.capacity, history_frames(context, rules), 1 + lm.n_q, highest),
            Responsiveness(self.capacity, no_words),
            context,
            rules,
            lambda slot: self.forcing.resumed(slot),
        )

    def warm(self, personas: Iterable[Persona]) -> Iterator[str]:
        """Prepare renewals and as many personas' prompt states as can be kept.

        Yields a line for people at each persona. Raises `InvalidInput` where the context is too
        short for one.
        """
        prompts, lm = self.forcing.prompts, self.weights.lm
        self.renewal.rehearse(prompts.longest if prompts.reading.prompted else 1)
        if prompts.reading.prompted:  # otherwise the first join waits while kernels load
            self._first.draw(0, torch.zeros(1, 1, lm.dim, dtype=lm.dtype, device=lm.device))
            self.memory.clear(0)
        return prompts.warm(personas)

    @property
    def capacity(self) -> int:
        return self.memory.capacity

    @property
    def word_chance(self) -> npt.NDArray[np.float64]:
        """The chance of all words together in the last step, `[B]`, to a billionth.

        Before temperature, top-k and forcing.
        """
        return self._numbers[:, CHANCE] / CHANCES

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        """Reset a slot for this persona: its prompt state in memory, its sampling in place.

        With `remembered`, the slot is silent until its memory holds these columns, too.
        """
        asked = persona.sampling
        sampling = asked.over(self._usual)
        # Before a memory is there, a slot that resumes attends to positions that were never read.
        self.memory.clear(slot, deep=remembered is not None)
        seed = secrets.randbits(31) if asked.seed is None else asked.seed
        if remembered is not None:
            seed = remembered.seed
            self._set_draws(slot, remembered)
        self._sampling.set(slot, sampling, seed)
        self._width_of[slot] = (
            sampling.text_top_k if sampling.text_temperature > 0 else 1,
            sampling.audio_top_k if sampling.audio_temperature > 0 else 1,
        )
        self._fit_widths()
        self.renewal.begin(slot, None)
        self.forcing.join(slot, persona, remembered)

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        if more is not None:
            self._set_draws(slot, more)
        self.forcing.catch_up(slot, more, done)

    def leave(self, slot: int) -> None:
        """Free a slot. A masked row is neither read nor written; `join` empties it."""
        self.renewal.leave(slot)
        self.forcing.leave(slot)
        self._width_of.pop(slot, None)
        self._fit_widths()

    def move(self, source: int, target: int) -> None:
        self.memory.copy(source, target)
        self.renewal.move(source, target)
        self._width_of[target] = self._width_of.pop(source)
        self.forcing.move(source, target)

    def hush(self, slot: int, on: bool) -> None:
        self.forcing.hush(slot, on)

    def say(self, slot: int, text: str, done: Done) -> None:
        self.forcing.say(slot, text, done)

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        self.forcing.drop_lines(slot, unless_begun=unless_begun)

    def forget(self, slot: int) -> None:
        """Return the slot to its prompt state at its next pause."""
        self.forcing.forget(slot)
        self.renewal.ask(slot, "forget")

    @torch.inference_mode()
    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        running, numbers = np.flatnonzero(exec_mask), self._numbers
        next_text = numbers[:, NEXT_TEXT]
        if running.size:
            self.forcing.before_step(exec_mask)
            self._batches.run(int(running[-1]) + 1, pcm, exec_mask)
            hushed = self.forcing.hushed()
            said = (next_text, self.word_chance)
            self.renewal.watch(pcm, self.columns, *said, exec_mask, hushed)
        self.forcing.after_step(next_text, self._heard, exec_mask)
        valid = exec_mask & (numbers[:, VALID] > 0)
        self._restart(exec_mask & (numbers[:, FINITE] == 0), valid)
        return StepOut(
            pcm=self._pcm_out(running),
            text=numbers[:, TEXT].copy(),
            unforced_text=numbers[:, UNFORCED].copy(),
            valid=valid,
            columns=self._columns_out(),
        )

    def _pcm_out(self, running: npt.NDArray[np.intp]) -> Pcm:
        """Return a copy of the sound, as far as slots ran: a later step overwrites the buffer."""
        buffer = self.buffers.pcm_out.host.numpy()
        rows, sound = int(np.max(running, initial=-1)) + 1, np.empty_like(buffer)
        sound[:rows] = buffer[:rows]
        return sound

    def _columns_out(self) -> StepColumns:
        positions = self.renewal.history.counts - 1
        positions[self.forcing.promptless()] = -1
        return StepColumns(self.columns, positions, self._numbers[:, DRAWS])

    def work(self, gap_s: float) -> bool:
        return self.background.run(gap_s)

    def _restart(self, not_finite: npt.NDArray[np.bool_], valid: Mask) -> None:
        """Restart sessions that went NaN, and mark their rows as not valid."""
        for slot in map(int, np.flatnonzero(not_finite)):
            valid[slot] = False
            self.memory.clear(slot, deep=True, parts=("lm", "codec"))
            self.renewal.restart(slot)
            self.forcing.restart(slot)
            metrics.RENEWED_SLOTS.labels(reason="nan").inc()

    def _set_draws(self, slot: int, remembered: Remembered) -> None:
        """Draw next as after the column before those that are read again."""
        self._draws[slot] = remembered.draws - max(1, *self.weights.lm.delays)

    def _fit_widths(self) -> None:
        """On a CPU, look at no more candidates than some slot asks for; a graph's are fixed."""
        if not self._cuda and self._width_of:
            texts, audios = zip(*self._width_of.values(), strict=True)
            fitting = self._cards.at_most(max(texts), max(audios))
            self.widths.text, self.widths.audio = fitting.text, fitting.audio
