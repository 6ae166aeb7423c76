"""The batched step: a conversation in a batch is what it would be alone."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.sampling import Sampling
from tests.engine.solo import Call, alone, sound
from tests.engine.tiny import force, tiny_lm, tiny_mimi
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.engine.conversation.replay import tokens_ahead
from worker.engine.network.language import Prefill
from worker.engine.network.unsupported import UnsupportedModel
from worker.engine.step import MoshiStep

CONTEXT = 12
PAD, END_OF_PAD = 3, 0
GREEDY = Persona(
    name="greedy",
    label="Greedy",
    sampling=Sampling(text_temperature=0.0, audio_temperature=0.0),
)


def sampled(seed: int) -> Persona:
    """Return a persona whose tokens are drawn with this seed."""
    return Persona(name="sampled", label="Sampled", sampling=Sampling(seed=seed))


def make(capacity: int) -> MoshiStep:
    """Return a step over the tiny Moshi."""
    return MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), capacity)


def sounds(seed: int, frames: int, slots: int = 1) -> Pcm:
    """Return frames `[frames, slots, 1920]` of people's sound."""
    rng = np.random.default_rng(seed)
    return np.array([[sound(rng) for _ in range(slots)] for _ in range(frames)])


def talk(step: MoshiStep, slot: int, heard: Pcm, others: Mask | None = None) -> Call:
    """Run frames `[T, 1920]` through one slot, and the same ones through the slots of `others`."""
    call = Call()
    mask = np.zeros(step.capacity, dtype=np.bool_) if others is None else others.copy()
    mask[slot] = True
    for frame in heard:
        out = step.run(np.broadcast_to(frame, (step.capacity, 1920)), mask)
        call.take(out, slot)
    return call


def converse(step: MoshiStep, seed: int, steps: int) -> list[Call]:
    """Let calls join, stall, leave and reuse slots at random; return all calls."""
    rng = np.random.default_rng(seed)
    slots: list[Call | None] = [None] * step.capacity
    calls: list[Call] = []
    for _ in range(steps):
        for slot, call in enumerate(slots):
            if call is None and rng.random() < 0.2:
                step.join(slot, GREEDY)
                calls.append(Call())
                slots[slot] = calls[-1]
            elif call is not None and rng.random() < 0.04:
                step.leave(slot)
                slots[slot] = None
        pcm = np.stack([sound(rng) for _ in slots])
        running = np.array([call is not None and rng.random() < 0.8 for call in slots])
        out = step.run(pcm, running)
        for slot, call in enumerate(slots):
            if call is not None and running[slot]:
                call.heard.append(pcm[slot])
                call.take(out, slot)
    return calls


@pytest.mark.slow
def test_mixed_calls_equal_solo_calls() -> None:
    """Calls that join, stall, wrap the ring and reuse slots get upstream's tokens and sound."""
    calls = converse(make(3), seed=1, steps=70)

    assert len(calls) > 3  # slots were reused
    assert max(len(call.heard) for call in calls) > 2 * CONTEXT  # the ring wrapped twice
    lm, mimi = tiny_lm(context=CONTEXT), tiny_mimi()
    for call in calls:
        solo = alone(lm, mimi, call.heard)
        assert solo.wrote == call.wrote
        np.testing.assert_allclose(call.said, solo.said, atol=2e-5)


def test_batch_sizes_change_no_token() -> None:
    """A call gets the same tokens whether its batch runs in few sizes or in many."""
    heard = sounds(13, 20)[:, 0]
    calls: list[Call] = []
    for sizes in ([1, 2, 3, 4], [2], []):
        step = MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), 5, batch_sizes=sizes)
        step.join(1, GREEDY)
        calls.append(talk(step, 1, heard))

    assert calls[0].wrote == calls[1].wrote == calls[2].wrote


def test_masked_and_new_rows_are_invalid() -> None:
    """A masked row, and a row's first frame, come back invalid."""
    step = make(2)
    step.join(0, GREEDY)
    step.join(1, GREEDY)
    pcm = np.zeros((2, 1920), dtype=np.float32)

    assert step.run(pcm, np.array([True, False])).valid.tolist() == [False, False]
    assert step.run(pcm, np.array([True, True])).valid.tolist() == [True, False]
    assert step.run(pcm, np.array([False, True])).valid.tolist() == [False, True]
    assert step.run(pcm, np.array([False, False])).valid.tolist() == [False, False]


def test_a_steps_output_is_not_changed_by_the_next_step() -> None:
    """A step's output stays as it was when the next step runs."""
    step = make(1)
    step.join(0, GREEDY)
    heard = sounds(3, 3)
    step.run(heard[0], np.array([True]))
    out = step.run(heard[1], np.array([True]))
    before = (out.pcm.copy(), out.text.copy(), out.unforced_text.copy(), out.valid.copy())
    step.run(heard[2], np.array([True]))

    for kept, now in zip(before, (out.pcm, out.text, out.unforced_text, out.valid), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_a_session_that_moves_goes_on_as_if_it_had_stayed() -> None:
    """A session that moves, its ring wrapped, gets the tokens and sound of one that stayed."""
    heard = sounds(4, 2 * CONTEXT)[:, 0]
    stays, moves = make(3), make(3)
    stays.join(2, sampled(seed=5))
    moves.join(2, sampled(seed=5))
    whole = talk(stays, 2, heard)
    first = talk(moves, 2, heard[: CONTEXT + 3])
    moves.move(2, 0)
    rest = talk(moves, 0, heard[CONTEXT + 3 :])

    assert whole.wrote == first.wrote + rest.wrote
    np.testing.assert_allclose(whole.said, first.said + rest.said, atol=2e-5)


def test_a_prefilled_lm_state_equals_the_one_that_listened() -> None:
    """An LM state that read a session's columns in pieces goes on like the session's own."""
    heard = sounds(12, 20)[:, 0]
    step = make(2)
    both = np.array([True, True])
    for slot in (0, 1):
        step.join(slot, GREEDY)
    columns: list[Tokens] = []
    for frame in heard[:10]:
        step.run(np.broadcast_to(frame, (2, 1920)), both)
        columns.append(step.columns[0].copy())
    step.memory.clear(1, deep=True, parts=("lm",))
    prefill = Prefill(step.weights, frames=10)
    prefill.read(np.stack(columns[:7]))
    prefill.read(np.stack(columns[7:]))
    step.memory.load(1, prefill.snapshot(*tokens_ahead(step.memory, 0)))
    pairs: list[list[int]] = []
    for frame in heard[10:]:
        pairs.append(step.run(np.broadcast_to(frame, (2, 1920)), both).text.tolist())

    assert [one for one, _ in pairs] == [other for _, other in pairs]
    assert len({one for one, _ in pairs}) > 3


def test_prefill_refuses_more_columns_than_it_has_room_for() -> None:
    """More columns than the context, or than the prefill was made for, are refused."""
    step = make(1)
    with pytest.raises(InvalidInput, match="frames=13: expected 1 to the context, 12"):
        Prefill(step.weights, frames=13)
    with pytest.raises(InvalidInput, match=r"columns: 0 \+ 3; expected at most 2"):
        Prefill(step.weights, frames=2).read(np.zeros((3, 17), dtype=np.int64))


def test_a_seeds_call_does_not_depend_on_other_slots() -> None:
    """A sampled call with the same seed is the same, whatever other slots do."""
    heard = sounds(6, 20)[:, 0]
    quiet, busy = make(4), make(4)
    quiet.join(1, sampled(seed=7))
    busy.join(1, sampled(seed=7))
    for slot in (0, 2, 3):
        busy.join(slot, sampled(seed=100 + slot))
    others = np.array([True, False, True, True])

    assert talk(quiet, 1, heard).wrote == talk(busy, 1, heard, others).wrote


def test_calls_with_different_seeds_differ() -> None:
    """The same sound with another seed gets other tokens."""
    heard = sounds(6, 20)[:, 0]
    step = make(1)
    step.join(0, sampled(seed=7))
    one = talk(step, 0, heard)
    step.join(0, sampled(seed=8))

    assert one.wrote != talk(step, 0, heard).wrote


def nan_slots() -> float:
    """Return how many slots had a NaN so far."""
    return REGISTRY.get_sample_value("moshi_renewed_slots_total", {"reason": "nan"}) or 0.0


def test_a_slot_with_nan_is_renewed_without_its_neighbour() -> None:
    """A slot with a NaN is invalid for one step and then new; another slot is not changed."""
    heard = sounds(8, 16)[:, 0]
    broken, healthy = make(2), make(2)
    both, before = np.array([True, True]), nan_slots()
    for step in (broken, healthy):
        step.join(0, GREEDY)
        step.join(1, GREEDY)
        talk(step, 0, heard[:4], both)
    broken.memory.tensors["lm.transformer.1.kv"][1] = np.nan
    out = broken.run(np.broadcast_to(heard[4], (2, 1920)), both)
    talk(healthy, 0, heard[4:5], both)

    assert out.valid.tolist() == [True, False]
    assert nan_slots() == before + 1
    assert talk(broken, 0, heard[5:], both).wrote == talk(healthy, 0, heard[5:], both).wrote
    assert nan_slots() == before + 1


def test_nan_from_a_microphone_is_silence() -> None:
    """A frame of NaN has the same effect as a frame of silence."""
    heard = sounds(9, 12)[:, 0]
    silent, broken = heard.copy(), heard.copy()
    silent[5], broken[5] = 0.0, np.nan
    calls: list[Call] = []
    for frames in (silent, broken):
        step = make(1)
        step.join(0, GREEDY)
        calls.append(talk(step, 0, frames))

    assert calls[0].wrote == calls[1].wrote


def test_forced_tokens_are_used() -> None:
    """Forced text and codes are used until released; `unforced_text` is the model's own."""
    step = make(1)
    step.join(0, GREEDY)
    heard = sounds(10, 10)[:, 0]
    free = talk(step, 0, heard)
    step.join(0, GREEDY)
    force(step, 0, text=3, audio=[5] * 8)
    columns: list[list[int]] = []
    for frame in heard[:6]:
        out = step.run(frame[None], np.array([True]))
        columns.append(step.columns[0, :9].tolist())

    assert int(out.text[0]) == 3
    assert int(out.unforced_text[0]) != 3
    assert columns[-1] == [3, *[5] * 8]
    force(step, 0)
    assert talk(step, 0, heard).wrote[-1] != 3
    assert free.wrote[0] != 3


def test_forced_at_word_waits_for_a_word() -> None:
    """With `at_word` padding stays the model's own, and its words become the forced one."""
    step = make(1)
    step.join(0, sampled(seed=0))
    force(step, 0, text=17, at_word=True)
    said: list[tuple[int, int]] = []
    for frame in sounds(11, 60)[:, 0]:
        out = step.run(frame[None], np.array([True]))
        if out.valid[0]:
            said.append((int(out.unforced_text[0]), int(out.text[0])))

    pads = [(own, text) for own, text in said if own in (PAD, END_OF_PAD)]
    assert 0 < len(pads) < len(said)
    assert [text for _, text in pads] == [own for own, _ in pads]
    assert {text for own, text in said if own not in (PAD, END_OF_PAD)} == {17}


def test_uncut_personaplex_is_refused() -> None:
    """A model whose depformer has steps for the person's codebooks is refused."""
    with pytest.raises(UnsupportedModel, match="dep_q=16 of n_q=16"):
        MoshiStep(tiny_lm(dep_q=16), tiny_mimi(), 1)
