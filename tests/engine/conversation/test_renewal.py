"""Renewal: a renewed LM state equals one that read the same columns one by one."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile
from prometheus_client import REGISTRY

from tests.engine.solo import Call, alone
from tests.engine.test_step import GREEDY, sampled, sounds
from tests.engine.tiny import TEXT_CARD, force, tiny_lm, tiny_mimi
from worker.engine.arrays import Pcm, Tokens
from worker.engine.conversation.renewal_rules import RenewalRules
from worker.engine.conversation.responsiveness import QUIET_FRAMES
from worker.engine.model import StepOut
from worker.engine.network.graphs import NEXT_TEXT
from worker.engine.network.language import Prefill
from worker.engine.network.sampler import Draw, Sampler
from worker.engine.slots import SlotFailed
from worker.engine.step import MoshiStep

CONTEXT = 32
DUE_AT = 24  # three quarters of the context: the rest is for what the tests do between renewals
PATIENCE = 3
RULES = RenewalRules(at_share=0.75, patience_frames=PATIENCE)
WORD = 17
GAP_S = 10.0  # so long that every piece of work fits: the clock is not tested here


def renewals(reason: str) -> int:
    """Return how many slots were renewed for a reason so far."""
    return int(REGISTRY.get_sample_value("moshi_renewed_slots_total", {"reason": reason}) or 0)


@dataclass
class Talk:
    """A call in slot 0 of a step, frame by frame, with a gap after each."""

    step: MoshiStep
    columns: list[Tokens] = field(default_factory=list)
    outs: list[StepOut] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)  # of the LM state, after each gap

    def hear(self, pcm: Pcm, *, gap: bool = True) -> None:
        """Run one frame, which all slots hear."""
        slots = self.step.capacity
        out = self.step.run(np.broadcast_to(pcm, (slots, 1920)), np.ones(slots, dtype=np.bool_))
        self.outs.append(out)
        self.columns.append(self.step.columns[0].copy())
        if gap:
            self.step.work(GAP_S)
        self.ages.append(age(self.step))

    @property
    def renewed_at(self) -> list[int]:
        """Return the frames after which the LM state was younger than before."""
        return [n for n in range(1, len(self.ages)) if self.ages[n] <= self.ages[n - 1]]


def age(step: MoshiStep, slot: int = 0) -> int:
    """Return how many positions a slot's LM state has read."""
    return int(step.memory.tensors["lm.transformer.offset"][slot])


def make(
    lm: LMModel | None = None,
    slots: int = 1,
    rules: RenewalRules = RULES,
    mimi: MimiModel | None = None,
) -> MoshiStep:
    """Return a step in which all slots have joined."""
    step = MoshiStep(lm or tiny_lm(context=CONTEXT), mimi or tiny_mimi(), slots, rules=rules)
    for slot in range(slots):
        step.join(slot, GREEDY)
    return step


def begin_with(step: MoshiStep, slot: int, lm: LMModel, frames: int) -> Tokens:
    """Start a slot's LM state with random columns `[frames, 1 + n_q]`; return them."""
    rng = np.random.default_rng(4)
    prefill = Prefill(step.weights, frames)
    columns = rng.integers(0, lm.card, size=(frames, 1 + lm.n_q))
    columns[0] = prefill.initial[0]
    prefill.read(columns)
    ahead = rng.integers(0, lm.card, size=(2, 1 + lm.n_q))
    start = prefill.snapshot(ahead)
    step.memory.load(slot, start)
    step.renewal.begin(slot, start)
    return columns


@torch.inference_mode()
def said_by_upstream(lm: LMModel, read: Tokens, first: int = 0) -> Tokens:
    """Return what moshi says after each column `[T, 1 + n_q]` from `first` on: `[T - first, 9]`."""
    lm_gen = LMGen(lm, use_sampling=False)
    said: list[Tokens] = []
    with no_compile(), lm_gen.streaming(1):
        for n, column in enumerate(torch.from_numpy(read)):
            hidden, logits = lm.forward_text(column[None, :, None])
            if n < first:
                continue
            text = logits[0, 0].argmax(dim=-1)
            codes = lm_gen.depformer_step(text, hidden)
            said.append(torch.cat([text, codes[0]]).numpy())
    return np.stack(said)


@pytest.mark.parametrize(
    ("small", "prompt_frames"), [("moshi", 0), ("personaplex", 5)], indirect=["small"]
)
def test_a_renewed_slot_says_what_upstream_says_after_the_same_columns(
    small: tuple[LMModel, MimiModel], prompt_frames: int
) -> None:
    """After a renewal a slot says what upstream says after the same prompt and columns."""
    lm, mimi = small
    step = MoshiStep(lm, mimi, 1, rules=RULES)
    step.join(0, GREEDY)
    prompt = Prefill(step.weights, 1).initial
    if prompt_frames:
        prompt = begin_with(step, 0, lm, prompt_frames)
    talk = Talk(step)
    for frame in sounds(1, 50)[:, 0]:
        talk.hear(frame)

    assert len(talk.renewed_at) >= 3
    columns = np.stack(talk.columns)
    tokens: set[int] = set()
    for n, until in zip(talk.renewed_at, [*talk.renewed_at[1:], len(columns) - 1], strict=True):
        own = talk.ages[n] - len(prompt)
        assert 0 <= talk.ages[n] - CONTEXT // 2 <= PATIENCE
        replay = np.concatenate([prompt, columns[n + 1 - own : until]])
        said = said_by_upstream(lm, replay)[len(prompt) + own :]
        np.testing.assert_array_equal(said, columns[n + 2 : until + 1, : 1 + lm.dep_q])
        tokens.update(said.flat)
    assert len(tokens) > 10


def test_a_renewal_with_all_columns_changes_nothing() -> None:
    """A session that is renewed while all its columns are kept goes on as one that was not."""
    calls: list[Talk] = []
    before = renewals("age")
    for renew in (False, True):
        talk = Talk(make())
        for n, frame in enumerate(sounds(2, 20)[:, 0]):
            if renew and n == 11:
                talk.step.renewal.ask(0, "age")
            talk.hear(frame)
        calls.append(talk)

    assert renewals("age") == before + 1
    assert calls[0].ages == calls[1].ages
    for one, other in zip(calls[0].outs, calls[1].outs, strict=True):
        assert one.text.tolist() == other.text.tolist()
        assert one.unforced_text.tolist() == other.unforced_text.tolist()
        np.testing.assert_allclose(one.pcm, other.pcm, atol=2e-5)


def test_keys_and_values_are_those_of_reading_one_by_one() -> None:
    """After a renewal keys and values differ from sequential reading by rounding only."""
    heard = sounds(2, 12)[:, 0]
    stays, renewed = Talk(make()), Talk(make())
    for frame in heard:
        stays.hear(frame)
        renewed.hear(frame, gap=False)
    before = renewals("age")
    renewed.step.renewal.ask(0, "age")
    for _ in range(2):
        renewed.step.work(GAP_S)
        for talk in (stays, renewed):
            talk.hear(np.zeros(1920, dtype=np.float32), gap=talk is renewed)
    for frame in sounds(3, 8)[:, 0]:
        stays.hear(frame)
        renewed.hear(frame)

    assert renewals("age") == before + 1
    for name, tensor in stays.step.memory.tensors.items():
        if name.startswith("lm."):
            torch.testing.assert_close(renewed.step.memory.tensors[name], tensor)


def test_renewals_miss_no_frame_and_leave_the_codec_alone() -> None:
    """Through renewals every frame comes with its announced text, and Mimi's state is untouched."""
    talk = Talk(make())
    announced: list[int] = []
    for frame in sounds(5, 60)[:, 0]:
        talk.hear(frame, gap=False)
        announced.append(int(talk.step._numbers[0, NEXT_TEXT]))
        codec = {
            name: tensor.clone()
            for name, tensor in talk.step.memory.tensors.items()
            if not name.startswith("lm.")
        }
        talk.step.work(GAP_S)
        for name, tensor in codec.items():
            assert torch.equal(talk.step.memory.tensors[name], tensor), name
        talk.ages[-1] = age(talk.step)

    assert len(talk.renewed_at) >= 3
    assert [bool(out.valid[0]) for out in talk.outs] == [False, *[True] * 59]
    assert [int(out.text[0]) for out in talk.outs[1:]] == announced[:-1]


def test_a_renewal_changes_no_other_slot() -> None:
    """While one slot is renewed, another slot's memory stays the same to the bit."""
    talk = Talk(make(slots=2, rules=RenewalRules(patience_frames=0)))
    for frame in sounds(6, 10)[:, 0]:
        talk.hear(frame, gap=False)
    before = renewals("age")
    neighbour = {name: each[1].clone() for name, each in talk.step.memory.tensors.items()}
    talk.step.renewal.ask(0, "age")
    talk.step.work(GAP_S)

    assert renewals("age") == before + 1
    for name, tensor in neighbour.items():
        assert torch.equal(talk.step.memory.tensors[name][1], tensor), name


def test_a_renewal_waits_for_a_pause() -> None:
    """A slot that speaks gets its new LM state in its first pause, and not before."""
    talk = Talk(make(tiny_lm(context=128), rules=RenewalRules(at_share=0.75)))
    silence = np.zeros(1920, dtype=np.float32)
    force(talk.step, 0, text=WORD)
    for _ in range(10):
        talk.hear(silence)
    talk.step.renewal.ask(0, "age")
    for _ in range(10):
        talk.hear(silence)
    assert talk.renewed_at == []
    force(talk.step, 0, text=3)
    before = renewals("age")
    for _ in range(3):
        talk.hear(silence)
    assert renewals("age") == before
    talk.hear(silence)
    assert renewals("age") == before + 1


def test_a_slot_that_never_pauses_is_renewed_after_patience_frames() -> None:
    """A slot that speaks on is renewed after `patience_frames`, and not before."""
    talk = Talk(make(tiny_lm(context=128), rules=RenewalRules(at_share=0.75, patience_frames=5)))
    force(talk.step, 0, text=WORD)
    heard = sounds(7, 15)[:, 0]
    for frame in heard[:9]:
        talk.hear(frame)
    before = renewals("age")
    talk.step.renewal.ask(0, "age")
    talk.step.work(GAP_S)  # the replay catches up
    for frame in heard[9:13]:
        talk.hear(frame)
    assert renewals("age") == before
    talk.hear(heard[13])
    assert renewals("age") == before + 1


def test_old_lm_states_are_renewed() -> None:
    """An LM state is renewed at its age, before the ring is full, and keeps half the context."""
    talk = Talk(make())
    before = renewals("age")
    for frame in sounds(8, 60)[:, 0]:
        talk.hear(frame)

    assert max(talk.ages) < CONTEXT
    assert min(talk.ages[DUE_AT:]) >= CONTEXT // 2
    assert renewals("age") - before == len(talk.renewed_at) >= 3


SPOKEN, QUIET = np.full(1920, 0.1, dtype=np.float32), np.zeros(1920, dtype=np.float32)
HUSHED_CONTEXT = 2 * QUIET_FRAMES
LOSING = RenewalRules(spoken_frames=12)


def mute_lm(context: int, word_odds: float) -> LMModel:
    """Return a tiny Moshi that only says padding, and gives each word these odds against it."""
    lm = tiny_lm(context=context)
    head = torch.nn.Linear(lm.dim, TEXT_CARD)
    head.weight.data.zero_()
    head.bias.data.fill_(math.log(word_odds))
    head.bias.data[lm.text_padding_token_id] = 0.0
    lm.text_linear = head
    return lm.eval()


def mute(word_odds: float, rules: RenewalRules = LOSING, context: int = HUSHED_CONTEXT) -> Talk:
    """Return a call with such a model, whose LM state began with a prompt of 4 columns."""
    lm = mute_lm(context, word_odds)
    talk = Talk(make(lm, rules=rules))
    begin_with(talk.step, 0, lm, 4)
    return talk


RESPONSIVE, LOST = 0.001, 1e-9  # odds of a word


def turn(talk: Talk, spoken: int = 12, quiet: int = QUIET_FRAMES, *, gap: bool = True) -> None:
    """Speak to the slot, then be silent."""
    for n in range(spoken + quiet):
        talk.hear(SPOKEN if n < spoken else QUIET, gap=gap)


@pytest.mark.slow
def test_a_model_that_only_listens_is_not_renewed() -> None:
    """A responsive model that listens to a long turn and one more keeps its LM state."""
    rules = RenewalRules()
    talk = mute(RESPONSIVE, rules, context=500)
    for spoken in (rules.spoken_frames + 10, 12):
        turn(talk, spoken)

    assert talk.ages == [4 + n + 1 for n in range(len(talk.outs))]


def test_by_default_a_call_is_upstreams_for_most_of_the_context() -> None:
    """Up to 45 of 50 columns the default rules renew nothing, and the text is upstream's."""
    heard = sounds(18, 45)[:, 0]
    talk = Talk(make(tiny_lm(context=50), rules=RenewalRules()))
    call = Call()
    for frame in heard:
        talk.hear(frame)
        call.take(talk.outs[-1], 0)
    solo = alone(tiny_lm(context=50), tiny_mimi(), list(heard))

    assert talk.renewed_at == []
    assert call.wrote == solo.wrote


def test_a_silent_responsive_model_is_renewed_by_age_only() -> None:
    """A silent model that gives words a chance keeps half the context at each renewal."""
    before = renewals("age"), renewals("unresponsive")
    talk = mute(RESPONSIVE, context=60)
    for _ in range(2):
        turn(talk, spoken=30)

    assert renewals("unresponsive") == before[1]
    assert renewals("age") - before[0] == len(talk.renewed_at) >= 4
    assert min(talk.ages[n] for n in talk.renewed_at) >= 4 + 30


def test_a_slot_for_which_another_waits_keeps_less() -> None:
    """Of two slots that are renewed the first keeps a quarter of the context, the second half."""
    talk = Talk(make(tiny_lm(context=96), slots=2, rules=RenewalRules(patience_frames=0)))
    for frame in sounds(19, 60)[:, 0]:
        talk.hear(frame, gap=False)
    for slot in (0, 1):
        talk.step.renewal.ask(slot, "age")
    talk.step.work(GAP_S)

    assert [age(talk.step, slot) for slot in (0, 1)] == [1 + 24, 1 + 48]


def test_an_unresponsive_model_keeps_only_its_prompt() -> None:
    """A model that gives words no chance for a whole context is renewed with its prompt alone."""
    before = renewals("unresponsive")
    talk = mute(LOST)
    turn(talk)
    assert renewals("unresponsive") == before
    turn(talk)
    assert renewals("unresponsive") == before + 1
    assert talk.ages[-1] < 4 + HUSHED_CONTEXT // 2
    assert min(talk.ages[QUIET_FRAMES:]) == 4
    assert all(out.valid[0] for out in talk.outs)


def test_a_word_before_the_renewal_keeps_the_memory() -> None:
    """An unresponsive model that says a word before its renewal is not renewed."""
    before = renewals("unresponsive")
    talk = mute(LOST)
    turn(talk)
    turn(talk, gap=False)
    force(talk.step, 0, text=WORD)
    talk.hear(QUIET)
    force(talk.step, 0)
    talk.hear(QUIET)
    turn(talk, spoken=0, quiet=20)

    assert renewals("unresponsive") == before


def test_a_silenced_slot_is_not_unresponsive() -> None:
    """Turns under forced silence, and those before it, do not count as unanswered."""
    before = renewals("unresponsive")
    talk = mute(LOST)
    talk.step.hush(0, on=True)
    for _ in range(3):
        turn(talk)
    talk.step.hush(0, on=False)
    turn(talk)

    assert renewals("unresponsive") == before


def test_the_lm_state_of_renewals_is_no_larger_than_planned() -> None:
    """For a prompt of any length the replay's LM state holds no more frames than the context."""
    step = make(tiny_lm(context=96), rules=RenewalRules())
    for frames in (1, 30, 48, 90):
        step.renewal.rehearse(frames)
        assert step.renewal._reader_for(frames).frames <= 96


def test_renewals_are_rehearsed_with_pieces_of_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One position and two, too: they are read at a swap, by kernels of few rows."""
    step = make(tiny_lm(context=96), rules=RenewalRules())
    pieces: list[int] = []
    monkeypatch.setattr(Prefill, "read", lambda self, columns: pieces.append(len(columns)))
    step.renewal.rehearse(48)

    assert pieces == [1, 2, 4, 8, 16, 32, 64]


def test_forget_keeps_only_the_prompt() -> None:
    """After `forget` a slot has only its prompt, and missed no frame."""
    talk = Talk(make())
    for frame in sounds(10, 10)[:, 0]:
        talk.hear(frame)
    talk.step.forget(0)
    for frame in sounds(11, 8)[:, 0]:
        talk.hear(frame)

    [n] = talk.renewed_at
    assert talk.ages[n] == 1
    assert all(out.valid[0] for out in talk.outs[1:])


def test_a_slot_with_nan_gets_its_prompt_again() -> None:
    """A slot with a NaN goes on with its prompt and an empty history."""
    talk = Talk(make())
    begin_with(talk.step, 0, tiny_lm(), 6)
    heard = sounds(12, 4)[:, 0]
    for frame in heard:
        talk.hear(frame)
    talk.step.memory.tensors["lm.transformer.1.kv"][0] = np.nan
    talk.hear(heard[0])
    assert talk.ages == [7, 8, 9, 10, 6]
    talk.hear(heard[1])

    assert [bool(out.valid[0]) for out in talk.outs] == [True] * 4 + [False, True]
    assert talk.step.renewal.history.count(0) == 1


def test_renewals_follow_their_sessions() -> None:
    """A renewal ends when its session leaves, and follows its session to another slot."""
    talk = Talk(make(slots=3, rules=RenewalRules(patience_frames=0)))
    for frame in sounds(13, 10)[:, 0]:
        talk.hear(frame, gap=False)
    before = renewals("age")
    for slot in (0, 2):
        talk.step.renewal.ask(slot, "age")
    talk.step.leave(0)
    talk.step.move(2, 0)
    talk.step.work(GAP_S)
    talk.step.work(GAP_S)

    assert renewals("age") == before + 1
    assert not talk.step.work(GAP_S)


def test_a_renewal_that_fails_ends_only_its_own_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed renewal raises `SlotFailed` for its slot, and the next slot is renewed."""

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    talk = Talk(make(slots=2, rules=RenewalRules(patience_frames=0)))
    for frame in sounds(17, 10)[:, 0]:
        talk.hear(frame, gap=False)
    before = renewals("age")
    for slot in (0, 1):
        talk.step.renewal.ask(slot, "age")
    with monkeypatch.context() as broken:
        broken.setattr("worker.engine.conversation.renewal.Replay", refuse)
        with pytest.raises(SlotFailed) as failed:
            talk.step.work(GAP_S)
    talk.step.leave(failed.value.slot)
    talk.step.work(GAP_S)

    assert failed.value.slot == 0
    assert renewals("age") == before + 1


def test_the_first_renewal_takes_no_new_memory() -> None:
    """After `warm` the first renewal uses the LM state that `warm` made."""
    step = make(tiny_lm(context=96))
    list(step.warm([]))
    reader = step.renewal.reader
    assert reader is not None
    size = reader.memory.slot_bytes
    talk, before = Talk(step), renewals("age")
    for n, frame in enumerate(sounds(16, 20)[:, 0]):
        if n == 10:
            step.renewal.ask(0, "age")
        talk.hear(frame)

    assert renewals("age") == before + 1
    assert step.renewal.reader is reader
    assert reader.memory.slot_bytes == size > 0


def test_a_renewal_does_not_reset_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through renewals no random number is drawn twice."""
    step = make()
    step.join(0, sampled(seed=3))
    talk, chances, draws = Talk(step), list[float](), Sampler.draws

    def noted(sampler: Sampler, frame: torch.Tensor) -> tuple[Draw, Draw]:
        text, audio = draws(sampler, frame)
        chances.append(float(text.chance[0]))
        return text, audio

    monkeypatch.setattr(Sampler, "draws", noted)
    for frame in sounds(14, 40)[:, 0]:
        talk.hear(frame)

    assert talk.renewed_at
    assert len(set(chances)) == len(talk.outs)


@pytest.mark.slow
def test_long_call() -> None:
    """A dozen renewals use the memory of the beginning, and no frame is missed.

    `bench/renewal.py` runs an hour at a real context.
    """
    step = make()
    step.join(0, sampled(seed=1))
    talk = Talk(step)
    heard = sounds(15, 50)[:, 0]
    before = renewals("age")
    for frame in heard:
        talk.hear(frame)
    where = {name: tensor.data_ptr() for name, tensor in step.memory.tensors.items()}
    for n in range(130):
        talk.hear(heard[n % 50])

    assert renewals("age") - before >= 12
    assert all(out.valid[0] for out in talk.outs[1:])
    assert max(talk.ages) < CONTEXT
    assert {name: tensor.data_ptr() for name, tensor in step.memory.tensors.items()} == where
