"""The batched step: PCM of all slots in; PCM, text tokens and codes of all slots out.

Owns the slots' memory, the input and output buffers, and one pass per batch size (`tiers.py`).
What slots are told is `stage.py`. Knows no room and no clock. Every method is called from the
engine thread only.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.sampling import MOST_AUDIO_TOP_K, MOST_TEXT_TOP_K, UsualSampling
from worker.engine import metrics
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.engine.background import BackgroundWork
from worker.engine.conversation.forcing import Forcing
from worker.engine.conversation.prompt_state import PromptReading, Prompts
from worker.engine.conversation.renewal import Renewal, RenewalRules
from worker.engine.conversation.say import Done
from worker.engine.model import StepOut
from worker.engine.network.codec import CodecWeights
from worker.engine.network.depformer import Forced
from worker.engine.network.drawing import FirstTokens
from worker.engine.network.graphs import (
    CHANCE,
    CHANCES,
    COLUMN,
    FINITE,
    NEXT_TEXT,
    NEXT_WILL,
    TEXT,
    VALID,
    WILL,
    Ports,
    StepGraph,
    graph_sizes,
)
from worker.engine.network.language import Prefill, ReadOpening, Weights
from worker.engine.network.memory import Memory
from worker.engine.network.sampler import SamplingState, Widths


class MoshiStep:
    """A `BatchedStep` over an `LMModel` and a `MimiModel` of moshi 0.2.13.

    Without prompts an occupant's first frame goes as in moshi 0.2.13 server.py `recv_loop`: it is
    encoded, then the encoder is as new, so that the second frame is padded on the left as a first
    one again. Here the encoder simply does not advance at the first frame. A row gives its first
    frame out at its second frame in (acoustic delay 1).

    With prompts it goes as in NVIDIA/personaplex 3428dfd server.py `opus_loop`: the encoder counts
    from the first frame on, and what follows the prompt was drawn before it (`draw_first`), so a
    row gives a frame out at its first frame in.

    A row whose logits or sound went NaN comes back invalid, its memory is zeroed and its session
    goes on as it began, counted in `metrics.RENEWED_SLOTS`; others are renewed before their ring
    is full (`renewal.py`). On a CPU a step costs what its highest running slot costs, so keep slots
    dense; on CUDA what the next of `tiers` costs.
    """

    def __init__(
        self,
        lm: LMModel,
        mimi: MimiModel,
        capacity: int,
        *,
        tiers: Sequence[int] | None = None,
        rules: RenewalRules | None = None,
        reading: PromptReading | None = None,
        usual: UsualSampling | None = None,
    ) -> None:
        device, reading = lm.device, reading or PromptReading()
        self._usual = usual or UsualSampling()
        self.memory = Memory(capacity, device)
        self.background = BackgroundWork()
        self._cuda = device.type == "cuda"
        self._cards = Widths(text=len(lm.text_linear.get_parameter("weight")), audio=lm.card)
        self.widths = self._cards.at_most(MOST_TEXT_TOP_K, MOST_AUDIO_TOP_K)
        self._width_of: dict[int, tuple[int, int]] = {}
        self._streams = 1 + lm.n_q
        numbers = COLUMN + self._streams + lm.n_q - lm.dep_q
        self.ports = Ports.of(device, capacity, mimi.frame_size, numbers)
        sampling_state = self.memory.rows(capacity, "knobs")
        self._knobs, self._forced = (
            SamplingState.of(sampling_state),
            Forced.of(sampling_state, lm.dep_q),
        )
        self._tiers = graph_sizes(capacity, tiers, every=not self._cuda)
        with torch.no_grad():  # not inference mode: the weights stay of use to others
            self._weights, codec = Weights(lm), CodecWeights(mimi)
            shared = (self.memory, self.ports, self.widths, self._weights, codec)
            first = reading.prompted
            self.passes = {n: StepGraph(*shared, n, keeps_first=first) for n in self._tiers}
            inputs = self._weights.depformer_in
            self._first = FirstTokens(lm, inputs, self.memory, self.widths)
            if self._cuda:
                self._capture()
        no_words = (lm.text_padding_token_id, lm.end_of_text_padding_id)
        card = max(lm.text_card, lm.card)
        self.renewal = Renewal(self, lm.context or 0, no_words, card, rules or RenewalRules())
        prompts = Prompts(self._weights, codec, reading)
        self.stage = Forcing(self, self._weights, self._forced, prompts, self.renewal.open_with)

    def warm(self, personas: Iterable[Persona]) -> Iterator[str]:
        """Prepare renewals, and what personas begin with as far as it can be kept.

        Gives a line for people at each persona.

        Raises `InvalidInput` where the context is too short for it.
        """
        prompts, lm = self.stage.prompts, self._weights.lm
        self.renewal.rehearse(prompts.longest if prompts.reading.prompted else 1)
        if prompts.reading.prompted:  # else the first join waits while kernels load
            self._first.draw(0, torch.zeros(1, 1, lm.dim, dtype=lm.dtype, device=lm.device))
            self.memory.clear(0)
        return prompts.warm(personas)

    @property
    def capacity(self) -> int:
        """Slots in the batch, B."""
        return self.memory.capacity

    @property
    def column(self) -> Tokens:
        """What the model read in the last step, `[B, 1 + n_q]`: a session's history for replay.

        Rows that did not run mean nothing; the next step overwrites it.
        """
        return self.ports.numbers_out.host[:, COLUMN : COLUMN + self._streams].numpy()

    @property
    def next_text(self) -> tuple[Tokens, Tokens]:
        """Text tokens used in the last step, and before forcing, `[B]` each.

        They come out with their sound in the next step's `StepOut`; the next step overwrites them.
        """
        numbers = self.ports.numbers_out.host.numpy()
        return numbers[:, NEXT_TEXT], numbers[:, NEXT_WILL]

    @property
    def word_chance(self) -> npt.NDArray[np.float64]:
        """What the model gave to all words together in the last step, `[B]`, in billionths at best.

        Of the text of `next_text`, before temperature, top-k and forcing.
        """
        return self.ports.numbers_out.host.numpy()[:, CHANCE] / CHANCES

    def join(self, slot: int, persona: Persona) -> None:
        """Make a slot new for this persona: its opening in memory, its sampling in place."""
        asked = persona.sampling
        sampling = asked.over(self._usual)
        self.memory.clear(slot)
        seed = secrets.randbits(31) if asked.seed is None else asked.seed
        self._knobs.turn(slot, sampling, seed)
        self._width_of[slot] = (
            sampling.text_top_k if sampling.text_temperature > 0 else 1,
            sampling.audio_top_k if sampling.audio_temperature > 0 else 1,
        )
        self._fit_widths()
        self.renewal.join(slot)
        self.stage.join(slot, persona)

    def leave(self, slot: int) -> None:
        """Free a slot. A masked row is neither read nor written; `join` empties it."""
        self.renewal.leave(slot)
        self.stage.leave(slot)
        self._width_of.pop(slot, None)
        self._fit_widths()

    def move(self, source: int, target: int) -> None:
        """Let a session go on in another slot, exactly; for keeping slots dense."""
        self.memory.copy(source, target)
        self.renewal.move(source, target)
        self._width_of[target] = self._width_of.pop(source)
        self.stage.move(source, target)

    def hush(self, slot: int, on: bool) -> None:
        """Keep a slot silent from its next frame on, or let it speak again; it always listens."""
        self.stage.hush(slot, on)

    def say(self, slot: int, text: str, done: Done | None = None) -> None:
        """Have a slot say a text at its next pause; `done` is told whether all of it was said."""
        self.stage.say(slot, text, done)

    def drop_lines(self, slot: int) -> None:
        """Drop every text that a slot was given and has not said yet."""
        self.stage.drop_lines(slot)

    def forget(self, slot: int) -> None:
        """Fresh memory at the slot's next pause: what it began with, and nothing else."""
        self.stage.forget(slot)
        self.renewal.ask(slot, "forget")

    def force(
        self,
        slot: int,
        *,
        text: int | None = None,
        audio: Sequence[int | None] | None = None,
        at_word: bool = False,
    ) -> None:
        """Use these tokens instead of sampled ones, in every step until the next call for the slot.

        `text` from the next step on, or, `at_word`, only where the model itself begins a word.
        `audio` one code per agent codebook; those with a delay belong to the frame before the
        others'. What is None is sampled again. Raises `InvalidInput` for a token the model lacks.
        """
        lm = self._weights.lm
        codes = list(audio) if audio is not None else [None] * lm.dep_q
        if len(codes) != lm.dep_q:
            raise InvalidInput(f"audio: got {len(codes)} codes; expected {lm.dep_q}")
        _check_token("text", text, lm.text_card)
        for code in codes:
            _check_token("audio", code, lm.card)
        self._forced.turn(slot, text, codes, at_word=at_word)

    def draw_first(self, slot: int, read: ReadOpening) -> int:
        """Draw what follows the opening that a slot's mind has read; give the text token."""
        return self._first.draw(slot, read.hidden)

    def prefill(self, frames: int) -> Prefill:
        """Read up to `frames` known positions beside the slots; `memory.load` takes the result."""
        return Prefill(self._weights, frames)

    def ahead(self, slot: int) -> Tokens:
        """What a slot's next steps will read, `[ring, 1 + n_q]`: for the snapshot that renews it.

        Positions that are not there yet hold negative tokens or older ones.
        """
        memory = self.memory.tensors
        offset = int(memory["mind.transformer.offset"][slot])
        tokens = memory["mind.tokens"][slot].cpu().numpy()
        return np.roll(tokens, -(offset % tokens.shape[1]), axis=1).T.copy()

    @torch.inference_mode()
    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Advance the rows of `exec_mask` by one frame. pcm `[B, frame_samples]` in [-1, 1]."""
        running = np.flatnonzero(exec_mask)
        rows = int(running[-1]) + 1 if running.size else 0
        if rows:
            self.stage.begin(exec_mask)
            self._run(pcm, exec_mask, rows)
            self.renewal.watch(pcm, exec_mask, self.stage.hushed())
        numbers = self.ports.numbers_out.host.numpy()
        heard = numbers[:, COLUMN + self._streams :]
        self.stage.used(numbers[:, NEXT_TEXT], heard, exec_mask)
        valid = exec_mask & (numbers[:, VALID] > 0)
        self._renew(exec_mask & (numbers[:, FINITE] == 0), valid)
        return StepOut(
            pcm=self.ports.pcm_out.host.numpy().copy(),
            text=numbers[:, TEXT].copy(),
            will=numbers[:, WILL].copy(),
            valid=valid,
        )

    def work(self, gap_s: float) -> bool:
        """Do pieces of what waits in `chores` within `gap_s`. True: more is left."""
        return self.background.run(gap_s)

    def _run(self, pcm: Pcm, exec_mask: Mask, rows: int) -> None:
        rows = next(tier for tier in self._tiers if tier >= rows)
        self.ports.pcm_in.host.numpy()[:rows] = pcm[:rows]
        self.ports.exec_in.host.numpy()[:rows] = exec_mask[:rows]
        self.ports.pcm_in.send(rows)
        self.ports.exec_in.send(rows)
        self.passes[rows].run()
        self.ports.pcm_out.fetch(rows)
        self.ports.numbers_out.fetch(rows)
        if self._cuda:
            torch.cuda.current_stream().synchronize()

    def _renew(self, sick: npt.NDArray[np.bool_], valid: Mask) -> None:
        for slot in np.flatnonzero(sick):
            valid[slot] = False
            self.memory.clear(int(slot), deep=True, parts=("mind", "codec"))
            self.renewal.heal(int(slot))
            self.stage.reopened(int(slot))
            metrics.RENEWED_SLOTS.labels(reason="nan").inc()

    def _fit_widths(self) -> None:
        """On a CPU, look at no more candidates than some slot asks for; a graph's are fixed."""
        if not self._cuda and self._width_of:
            texts, audios = zip(*self._width_of.values(), strict=True)
            fitting = self._cards.at_most(max(texts), max(audios))
            self.widths.text, self.widths.audio = fitting.text, fitting.audio

    def _capture(self) -> None:
        """Capture every tier at start-up, the largest first: the others fit into its memory."""
        for tier in reversed(self._tiers):
            self.passes[tier].capture(self.passes[self.capacity])


def _check_token(name: str, token: int | None, card: int) -> None:
    if token is not None and not 0 <= token < card:
        raise InvalidInput(f"{name}={token}: expected 0 to {card - 1}")
