"""Resuming: a session that lost its slot goes on in another step, from its columns alone."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from protocol.personas import Persona
from tests.engine.conversation.test_prompt_state import encode_text
from tests.engine.conversation.test_renewal import said_by_upstream
from tests.engine.test_step import GREEDY, sampled, sounds
from tests.engine.tiny import tiny_lm, tiny_mimi
from worker.engine.arrays import Pcm, Tokens
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.model import Remembered, StepOut
from worker.engine.network.language import Prefill
from worker.engine.network.memory import Snapshot
from worker.engine.step import MoshiStep

CONTEXT, LOST_AT, FRAMES = 120, 14, 28
GAP_S = 10.0
AGENT = slice(0, 9)  # of a column: text and the agent's codes
PROMPTED = Persona(name="kind", label="Kind", prompt="be kind", sampling=GREEDY.sampling)


@dataclass
class Session:
    """One session in slot 0, with what it read and said."""

    step: MoshiStep
    read: list[Tokens] = field(default_factory=list)
    outs: list[StepOut] = field(default_factory=list)
    codecs: list[Snapshot] = field(default_factory=list)  # Mimi's state before each frame

    def hear(self, frames: Pcm, *, gap: bool = False) -> None:
        """Run some frames `[T, 1920]`."""
        for frame in frames:
            self.codecs.append(self.step.memory.save(0, "codec"))
            slots = self.step.capacity
            running = np.arange(slots) == 0
            out = self.step.run(np.broadcast_to(frame, (slots, 1920)), running)
            assert out.columns is not None
            self.outs.append(out)
            self.read.append(out.columns.tokens[0].copy())
            if gap:
                self.step.work(GAP_S)

    def remembered(self, seed: int = 0) -> Remembered:
        """Return what a backup has: all columns but the first frame's, which gives no output."""
        begin = next(n for n, out in enumerate(self.outs) if out.valid[0])
        columns = self.outs[-1].columns
        assert columns is not None
        return Remembered(np.stack(self.read[begin:]), seed, int(columns.draws[0]))

    @property
    def texts(self) -> list[int]:
        """Return the text tokens of all outputs."""
        return [int(out.text[0]) for out in self.outs]


def begin(
    persona: Persona, remembered: Remembered | None = None, lm: LMModel | None = None
) -> Session:
    """Let a session join a step of its own, and read its prompt and its columns at once."""
    mimi: MimiModel = tiny_mimi()
    reading = PromptReading(encode_text, prompted=bool(persona.prompt))
    step = MoshiStep(lm or tiny_lm(context=CONTEXT), mimi, 2, reading=reading)
    step.join(0, persona, remembered)
    while step.work(GAP_S):
        pass
    return Session(step)


@pytest.mark.parametrize("persona", [GREEDY, sampled(5), PROMPTED], ids=lambda each: each.name)
def test_a_resumed_session_goes_on_like_one_that_was_not_lost(persona: Persona) -> None:
    """With Mimi's state restored, text, columns and sound are those of the whole session."""
    heard = sounds(31, FRAMES)[:, 0]
    whole, lost = begin(persona), begin(persona)
    whole.hear(heard)
    lost.hear(heard[:LOST_AT])
    seed = persona.sampling.seed or 0
    resumed = begin(persona, lost.remembered(seed))
    resumed.step.memory.load(0, lost.codecs[-1])
    resumed.hear(heard[LOST_AT - 1 :])

    assert resumed.texts == whole.texts[LOST_AT - 1 :]
    np.testing.assert_array_equal(resumed.read, whole.read[LOST_AT - 1 :])
    for one, other in zip(resumed.outs, whole.outs[LOST_AT - 1 :], strict=True):
        np.testing.assert_allclose(one.pcm[0], other.pcm[0], atol=2e-5)
    assert len(set(whole.texts[LOST_AT:])) > 3


def up_to(remembered: Remembered, columns: int) -> Remembered:
    """Return the first columns only, as a backup had them at that time."""
    draws = remembered.draws - len(remembered.tokens) + columns
    return replace(remembered, tokens=remembered.tokens[:columns], draws=draws)


@pytest.mark.parametrize("persona", [GREEDY, sampled(5), PROMPTED], ids=lambda each: each.name)
def test_columns_in_parts_give_the_memory_of_all_at_once(persona: Persona) -> None:
    """A session that catches up twice goes on like one that got all its columns when it joined."""
    lost = begin(persona)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    kept, done = lost.remembered(persona.sampling.seed or 0), list[int]()
    parts = [up_to(kept, columns) for columns in (4, 8, len(kept.tokens))]
    whole, resumed = begin(persona, kept), begin(persona, parts[0])
    step = resumed.step
    step.join(0, persona, parts[0])
    for n in (1, 2):
        step.catch_up(0, parts[n].since(parts[n - 1]), lambda: done.append(1))
        unread = len(done)
        while step.work(GAP_S):
            pass
        assert (unread, len(done)) == (n - 1, n)
    step.catch_up(0, None, lambda: done.append(1))
    for session in (whole, resumed):
        session.hear(sounds(32, 12)[:, 0])

    assert len(done) == 3
    assert resumed.texts == whole.texts
    np.testing.assert_array_equal(resumed.read, whole.read)


def test_columns_that_fill_the_context_are_renewed() -> None:
    """Columns that would fill the context leave the latest half of it, and the session goes on."""
    lost, done = begin(GREEDY), list[int]()
    lost.hear(sounds(31, 28)[:, 0])
    kept = lost.remembered()
    resumed = begin(GREEDY, up_to(kept, 12), tiny_lm(context=24))
    resumed.step.catch_up(0, kept.since(up_to(kept, 12)), lambda: done.append(1))
    resumed.step.work(GAP_S)
    age = int(resumed.step.memory.tensors["lm.transformer.offset"][0])
    resumed.hear(sounds(32, 4)[:, 0])

    assert (len(done), age) == (1, 13)  # half a context, after the initial column
    assert all(out.valid[0] for out in resumed.outs)


@pytest.mark.parametrize(("first", "all_of_them"), [(4, 18), (27, 27)])
def test_a_memory_of_more_columns_than_are_kept_begins_as_every_memory(
    first: int, all_of_them: int
) -> None:
    """Columns are read after the initial one: all where they fit, otherwise the latest of them."""
    lost = begin(GREEDY)
    lost.hear(sounds(31, 28)[:, 0])
    kept = up_to(lost.remembered(), all_of_them)
    step = begin(GREEDY, up_to(kept, first), tiny_lm(context=24)).step
    if first < all_of_them:
        step.catch_up(0, kept.since(up_to(kept, first)), lambda: None)
        step.work(GAP_S)
    columns = kept.tokens[:-1] if first < all_of_them else kept.tokens[-13:-1]
    columns = np.concatenate([lost.read[:1], columns])
    expected = Prefill(step.weights, len(columns))
    expected.read(columns)

    assert int(step.memory.tensors["lm.transformer.offset"][0]) == len(columns)
    for name, ring in expected.memory.tensors.items():
        if name.endswith(".kv"):
            torch.testing.assert_close(step.memory.tensors[name][:1, :, :, : len(columns)], ring)


def test_columns_continue_others_only_without_a_gap() -> None:
    """`since` returns the columns after others, or None where they do not follow them."""
    kept = Remembered(np.arange(20)[:, None], seed=1, draws=30)
    first = up_to(kept, 12)
    more = kept.since(first)

    assert more is not None and more.tokens[:, 0].tolist() == list(range(12, 20))
    assert first.since(kept) is None
    assert kept.since(replace(first, seed=2)) is None
    assert replace(kept, tokens=kept.tokens[-8:]).since(first) is None
    assert replace(kept, tokens=kept.tokens + 1).since(first) is None


def test_a_resumed_session_says_what_upstream_says() -> None:
    """With a new Mimi a resumed session says what upstream says after the same columns."""
    lm = tiny_lm(context=CONTEXT)
    lost = begin(GREEDY)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    resumed = begin(GREEDY, lost.remembered())
    fresh = begin(GREEDY)
    for session in (resumed, fresh):
        session.hear(sounds(32, FRAMES)[:, 0])
    both = np.stack([*lost.read[:-1], *resumed.read])
    said = said_by_upstream(lm, both)[LOST_AT - 1 : -1]

    np.testing.assert_array_equal(said, np.stack(resumed.read[1:])[:, AGENT])
    assert resumed.texts != fresh.texts


def test_a_session_is_silent_until_it_has_read_its_columns() -> None:
    """Before its columns are read a session hears in silence; then it says what upstream says."""
    lost = begin(GREEDY)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    step = MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), 2)
    step.join(0, GREEDY, lost.remembered())
    resumed = Session(step)
    resumed.hear(sounds(33, 6)[:, 0])
    waited = np.stack(resumed.read)
    step.work(GAP_S)
    resumed.hear(sounds(34, 20)[:, 0])
    both = np.stack([*lost.read[:-1], *resumed.read])
    said = said_by_upstream(tiny_lm(context=CONTEXT), both)

    pad, silence = 3, step.forcing.prompts.silence
    assert set(waited[1:, 0]) == {pad}
    np.testing.assert_array_equal(waited[1:, 1:2], np.tile(silence[:1], (5, 1)))
    assert len(np.unique(waited[:, 9:], axis=0)) > 3
    spoke = LOST_AT - 1 + 8  # the delayed codes of the last silent frame are still forced
    np.testing.assert_array_equal(said[spoke:-1], both[spoke + 1 :, AGENT])


def test_a_session_resumes_before_others_are_renewed() -> None:
    """A session reads its columns while the renewal of another slot waits for a pause."""
    lost = begin(GREEDY)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    other = begin(GREEDY)
    other.hear(np.ones((LOST_AT, 1920), dtype=np.float32) * 0.5)
    other.step.renewal.ask(0, "request")
    other.step.work(GAP_S)
    assert other.step.work(GAP_S), "it waits for a pause"
    other.step.join(1, GREEDY, lost.remembered())
    other.step.work(GAP_S)

    assert int(other.step.memory.tensors["lm.transformer.offset"][1]) == LOST_AT - 1
    assert 1 not in other.step.forcing.hushed()


@pytest.mark.parametrize("trouble", ["forget", "nan"])
def test_a_session_that_will_never_read_its_columns_speaks(trouble: str) -> None:
    """After `forget` or a NaN before its columns were read, a session is no longer silenced."""
    lost = begin(GREEDY)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    step = MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), 2)
    step.join(0, GREEDY, lost.remembered())
    session = Session(step)
    if trouble == "forget":
        step.forget(0)
    else:
        step.memory.tensors["lm.transformer.1.kv"][0] = np.nan
    session.hear(np.zeros((8, 1920), dtype=np.float32), gap=True)

    assert not step.forcing.hushed()
    assert int(step.memory.tensors["lm.transformer.offset"][0]) < LOST_AT
    session.hear(sounds(35, 12)[:, 0])
    assert len(set(session.texts[-10:])) > 1


def test_a_session_that_forgets_while_it_waits_for_its_prompt_remembers_nothing() -> None:
    """Columns that are to follow a prompt are not read after `forget`, and the session speaks."""
    lost = begin(PROMPTED)
    lost.hear(sounds(31, LOST_AT)[:, 0])
    reading = PromptReading(encode_text, prompted=True)
    step = MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), 2, reading=reading)
    step.join(0, PROMPTED, lost.remembered())
    step.forget(0)
    while step.work(GAP_S):
        pass
    fresh = begin(PROMPTED)
    ages = [int(each.memory.tensors["lm.transformer.offset"][0]) for each in (step, fresh.step)]
    assert ages[0] == ages[1]
    assert not step.forcing.hushed()
