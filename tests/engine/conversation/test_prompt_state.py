"""Prompts and voices, read in one pass and cached, as if they were read frame by frame."""

import weakref

import numpy as np
import pytest
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.sampling import Sampling
from tests.engine.sequential import prompted
from tests.engine.test_step import sounds, talk
from tests.engine.tiny import TEXT_CARD, tiny_lm, tiny_mimi
from worker.engine.arrays import Tokens
from worker.engine.capacity import TEXT_TOKENS
from worker.engine.conversation import prompt_state
from worker.engine.conversation.audio_tokens import encode, silence_codes, sine_codes
from worker.engine.conversation.prompt_state import PromptReading, Prompts
from worker.engine.conversation.voices import RecordedVoice, SavedVoice
from worker.engine.network.codec import CodecWeights
from worker.engine.network.language import Prefill, Weights
from worker.engine.slots import SlotFailed
from worker.engine.step import MoshiStep

CONTEXT = 120
PAD = 3
VOICE = RecordedVoice(sounds(31, 5)[:, 0].reshape(-1))


def encode_text(text: str) -> list[int]:
    """Return a token per byte, as a tokenizer without pieces does."""
    return [4 + byte % (TEXT_CARD - 4) for byte in text.encode()]


def persona(prompt: str = "be kind", voice: str = "own", seed: int | None = None) -> Persona:
    """Return a greedy persona with this prompt."""
    sampling = Sampling(text_temperature=0.0, audio_temperature=0.0, seed=seed)
    return Persona(name="kind", label="Kind", prompt=prompt, voice=voice, sampling=sampling)


@pytest.fixture
def lm(small: tuple[LMModel, MimiModel]) -> LMModel:
    """Return a small language model of either kind."""
    return small[0]


@pytest.fixture
def mimi(small: tuple[LMModel, MimiModel]) -> MimiModel:
    """Return that model's codec."""
    return small[1]


def step_of(lm: LMModel, mimi: MimiModel, slots: int = 2, **more: object) -> MoshiStep:
    """Return a step over a model that reads prompts."""
    reading = PromptReading(encode_text, prompted=True, voices={"own": VOICE}, **more)  # type: ignore[arg-type]  # tests' own
    return MoshiStep(lm, mimi, slots, reading=reading)


def frames_of(step: MoshiStep, who: Persona) -> Tokens:
    """Return the tokens of a persona's prompt, frame by frame."""
    return step.forcing.prompts.tokens(who).frames


def test_prompt_is_voice_silence_text_silence(lm: LMModel, mimi: MimiModel) -> None:
    """The agent's stream has voice, silence, text and silence; the person's has a sine."""
    codec = CodecWeights(mimi)
    frames = frames_of(step_of(lm, mimi), persona("be  kind\n"))
    text = encode_text("<system> be  kind <system>")

    assert frames[:, 0].tolist() == [PAD] * (5 + 6) + text + [PAD] * 6
    assert frames[:5, 1:9].tolist() == encode(codec, VOICE.pcm).tolist()
    silence, sine = (each(codec, released=False).tolist() for each in (silence_codes, sine_codes))
    assert frames[5:, 1:9].tolist() == [silence] * (6 + len(text) + 6)
    assert frames[:, 9:].tolist() == [sine] * len(frames)
    assert silence != sine


def test_prompt_without_text_has_no_text(lm: LMModel, mimi: MimiModel) -> None:
    """An empty prompt has only the voice and silence."""
    assert len(frames_of(step_of(lm, mimi), persona(""))) == 5 + 12


def test_cached_prompt_equals_sequential_prompt(lm: LMModel, mimi: MimiModel) -> None:
    """A persona with a cached prompt says what one says that read it frame by frame."""
    heard = sounds(32, 12)[:, 0]
    step = step_of(lm, mimi)
    lines = list(step.warm([persona()]))
    step.join(1, persona())
    call = talk(step, 1, heard)
    solo = prompted(lm, mimi, frames_of(step, persona()), list(heard))

    assert lines == [f"Persona kind is prepared, {step.forcing.prompts.size_bytes / 2**20:.1f} MiB"]
    assert call.wrote == solo.wrote
    assert len(set(call.wrote)) > 3
    np.testing.assert_allclose(call.said, solo.said, atol=2e-5)


def test_no_recording_is_encoded_in_a_call(
    lm: LMModel, mimi: MimiModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings that no prepared persona speaks with are encoded before the first call, too."""
    step = step_of(lm, mimi)
    list(step.warm([]))
    monkeypatch.setattr(prompt_state, "encode", None)

    assert len(frames_of(step, persona(""))) == 5 + 12


def test_nothing_of_a_prompt_or_of_a_person_is_left_out(lm: LMModel, mimi: MimiModel) -> None:
    """All frames of a prompt are read, and the person's codes follow from the first frame on.

    moshi's server keeps a first frame out of the encoder, NVIDIA's does not; and the person's first
    frame once took the place of the last sine.
    """
    heard = sounds(40, 8)[:, 0]
    step = step_of(lm, mimi)
    list(step.warm([persona()]))
    step.join(1, persona())
    begun = step.memory.tensors["lm.transformer.offset"].tolist()
    sine = frames_of(step, persona())[-1, 9:].tolist()
    columns: list[list[int]] = []
    for frame in heard:
        talk(step, 1, frame[None])
        columns.append(step.columns[1, 9:].tolist())
    codes = encode(CodecWeights(mimi), heard.reshape(-1)).tolist()

    assert begun == [0, len(frames_of(step, persona()))]
    assert [column[0] for column in columns] == [code[0] for code in codes]
    assert [column[1:] for column in columns] == [sine[1:], *[code[1:] for code in codes[:-1]]]


def test_the_first_tokens_are_drawn_as_the_persona_asks(lm: LMModel, mimi: MimiModel) -> None:
    """A session's first tokens depend on its own seed, and are equal for equal seeds."""
    step = step_of(lm, mimi)
    list(step.warm([persona()]))
    firsts: list[tuple[int, ...]] = []
    for seed in [*range(6), *range(6)]:
        step.join(1, Persona(**{**dict(persona()), "sampling": Sampling(seed=seed)}))
        talk(step, 1, sounds(41, 1)[:, 0])
        firsts.append(tuple(step.columns[1, :2].tolist()))  # text, and the code without a delay

    assert firsts[:6] == firsts[6:]
    assert len(set(firsts)) > 2


def test_a_slot_that_is_silenced_before_its_first_frame_is_silent(
    lm: LMModel, mimi: MimiModel
) -> None:
    """Silence that is forced between the join and the first frame holds from that frame on."""
    step = step_of(lm, mimi)
    list(step.warm([persona()]))
    silence = step.forcing.prompts.silence.tolist()
    step.join(1, persona())
    step.hush(1, True)
    read: list[list[int]] = []
    for frame in sounds(42, 4)[:, 0]:
        talk(step, 1, frame[None])
        read.append(step.columns[1, :9].tolist())

    assert read == [[PAD, *silence]] * 4


def test_prompt_read_in_the_gaps_equals_sequential_prompt(lm: LMModel, mimi: MimiModel) -> None:
    """A prompt that is read while its slot waits gives the tokens of a sequential prompt."""
    heard = sounds(33, 16)[:, 0]
    step = step_of(lm, mimi)
    step.join(1, persona())
    waiting = talk(step, 1, heard[:6])
    while step.work(1.0):
        pass
    call = talk(step, 1, heard[6:])
    solo = prompted(lm, mimi, frames_of(step, persona()), list(heard), waited=6)

    assert waiting.wrote == [PAD] * 5
    assert call.wrote == solo.wrote[: len(call.wrote)]
    assert len(set(call.wrote)) > 3


def test_reading_a_prompt_changes_no_other_slot(lm: LMModel, mimi: MimiModel) -> None:
    """A slot writes the same whether or not a prompt is read for another slot."""
    heard = sounds(34, 12)[:, 0]
    calls = []
    for busy in (False, True):
        step = step_of(lm, mimi)
        list(step.warm([persona()]))
        step.join(0, persona())
        if busy:
            step.join(1, persona("something else"))
        first = talk(step, 0, heard[:6], np.array([True, busy]))
        while step.work(1.0):
            pass
        calls.append(first.wrote + talk(step, 0, heard[6:], np.array([True, busy])).wrote)

    assert calls[0] == calls[1]


def test_prompts_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many new prompts one LM state at a time is read, and a prompt that two share once.

    Each once had its own LM state: 64 that came together took 10 GB beside the slots.
    """
    alive: list[weakref.ref[Prefill]] = []
    others: list[int] = []
    clock_s = [0.0]

    class Counted(Prefill):
        def __init__(self, weights: Weights, frames: int) -> None:
            super().__init__(weights, frames)
            others.append(sum(each() is not None for each in alive))
            alive.append(weakref.ref(self))

        def read_embedded(self, embeddings: torch.Tensor) -> None:
            super().read_embedded(embeddings)
            clock_s[0] += 1.0

    monkeypatch.setattr("worker.engine.conversation.prompt_state.Prefill", Counted)
    step = step_of(tiny_lm(context=CONTEXT), tiny_mimi(), slots=4)
    step.background._clock_s = lambda: clock_s[0]
    for slot, text in enumerate(("first", "second", "second", "third")):
        step.join(slot, persona(text))
    step.leave(0)
    while step.work(1.5):  # time for a piece and a half
        pass

    assert others == [0, 0]
    assert not {1, 2, 3} & set(step.forcing.hushed())


def test_a_prompt_that_fails_ends_only_its_own_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that cannot be read raises `SlotFailed` for its slot; the next one is read."""

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    step = step_of(tiny_lm(context=CONTEXT), tiny_mimi())
    with monkeypatch.context() as broken:
        broken.setattr("worker.engine.conversation.prompt_state.Prefill", refuse)
        step.join(1, persona("first"))
        with pytest.raises(SlotFailed) as failed:
            step.work(1.0)
    step.leave(1)
    step.join(0, persona("second"))
    while step.work(1.0):
        pass

    assert failed.value.slot == 1
    assert step.forcing.hushed() == []


def test_the_prompt_of_a_session_that_leaves_is_not_read(lm: LMModel, mimi: MimiModel) -> None:
    """When a session leaves, its prompt is no longer waiting background work."""
    step = step_of(lm, mimi)
    step.join(0, persona())
    step.leave(0)

    assert not step.work(1.0)
    assert step.forcing.prompts.get(persona()) is None


def test_saved_voice_equals_recorded_voice(lm: LMModel, mimi: MimiModel) -> None:
    """A voice saved as embeddings and a ring of 4 gives the same tokens as its recording."""
    heard = sounds(35, 16)[:, 0]
    step = step_of(lm, mimi)
    list(step.warm([persona()]))
    prompts = step.forcing.prompts
    saved = saved_voice(lm, prompts, frames_of(step, persona())[:5])
    again = MoshiStep(
        lm, mimi, 1, reading=PromptReading(encode_text, prompted=True, voices={"own": saved})
    )
    list(again.warm([persona()]))
    step.join(0, persona())
    again.join(0, persona())

    assert talk(step, 0, heard).wrote == talk(again, 0, heard).wrote


def saved_voice(lm: LMModel, prompts: Prompts, frames: Tokens) -> SavedVoice:
    """Save a voice as NVIDIA/personaplex 3428dfd lm.py `_step_voice_prompt_core` does.

    After N frames it has read positions 0 to N - 2, and its ring holds N - 1 and, of those codes
    that are delayed, N.
    """
    columns, count = prompts.columns(frames), len(frames)
    embed = Weights(lm).embed
    ring = np.full((columns.shape[1], 4), -2)
    for position in range(max(0, count - 2), count + 1):
        ring[:, position % 4] = columns[position]
    return SavedVoice(embed(torch.from_numpy(columns[: count - 1])).detach(), ring)


def test_least_used_prompt_state_goes_first(lm: LMModel, mimi: MimiModel) -> None:
    """Beyond its budget a cache drops the prompt state whose last use was longest ago."""
    one = step_of(lm, mimi).forcing.prompts
    size = one.read(persona("aaa")).lm_state.size_bytes
    prompts = step_of(lm, mimi, budget_bytes=2 * size).forcing.prompts
    for prompt in ("aaa", "bbb"):
        prompts.read(persona(prompt))
    prompts.get(persona("aaa"))
    prompts.read(persona("ccc"))

    assert [prompts.get(persona(each)) is None for each in ("aaa", "bbb", "ccc")] == [
        False,
        True,
        False,
    ]
    assert prompts.size_bytes <= 2 * size


@pytest.mark.parametrize("voice_frames", [5, 188])
def test_a_long_prompt_is_read_to_its_end(voice_frames: int) -> None:
    """A prompt of `TEXT_TOKENS` is read to its last token, however long the voice.

    A prompt once ended at 300 frames: a voice of 15 s left 100 tokens.
    """
    voice = RecordedVoice(np.tile(VOICE.pcm, 40)[: voice_frames * 1920])
    reading = PromptReading(encode_text, prompted=True, voices={"own": voice})
    step = MoshiStep(tiny_lm(context=1500), tiny_mimi(), 1, reading=reading)
    price = " 5 euros."
    text = "x" * (TEXT_TOKENS - len(f"<system> {price} <system>")) + price
    list(step.warm([persona(text)]))
    step.join(0, persona(text))
    frames = frames_of(step, persona(text))

    assert len(frames) == voice_frames + 6 + TEXT_TOKENS + 6
    assert frames[-24:-6, 0].tolist() == encode_text(f"{price} <system>")
    assert step.memory.tensors["lm.transformer.offset"].tolist() == [len(frames)]


@pytest.mark.parametrize(
    ("context", "text", "refusal"),
    [
        (
            120,
            "word " * 9,
            "persona.prompt: kind's has 62 tokens with its marks; expected at most 43",
        ),
        (3000, "\U0001f600" * 121, "kind's has 502 tokens with its marks; expected at most 500"),
    ],
)
def test_a_prompt_that_is_too_long_is_refused(context: int, text: str, refusal: str) -> None:
    """A prompt beyond the plan, or beyond half the context, is refused with both numbers."""
    step = step_of(tiny_lm(context=context), tiny_mimi())
    step.join(1, persona(text))
    with pytest.raises(SlotFailed) as failed:
        step.work(1.0)

    assert failed.value.slot == 1
    assert isinstance(failed.value.__cause__, InvalidInput)
    assert refusal in str(failed.value.__cause__)


def test_a_catalogue_whose_prompt_is_too_long_is_refused() -> None:
    """`warm` refuses a persona whose prompt is too long, with the context that would suffice."""
    step = step_of(tiny_lm(context=120), tiny_mimi())
    with pytest.raises(InvalidInput) as refusal:
        list(step.warm([persona(), persona("word " * 9)]))

    assert str(refusal.value) == (
        "CONTEXT=120: persona.prompt: kind's has 62 tokens with its marks; expected at most 43, "
        "which is what the model here reads: shorten it, or set CONTEXT=1034, with which 500 are "
        "read"
    )


def test_context_without_room_for_a_voice_is_refused() -> None:
    """`warm` refuses a context of which half is shorter than the voice, with the numbers."""
    step = step_of(tiny_lm(context=30), tiny_mimi())
    with pytest.raises(InvalidInput, match=r"CONTEXT=30: .* take 17 frames, .* at least 34"):
        list(step.warm([]))


def test_an_unknown_voice_is_the_usual_one(lm: LMModel, mimi: MimiModel) -> None:
    """A persona whose voice is unknown gets the prompt state with the usual voice."""
    prompts = step_of(lm, mimi).forcing.prompts

    assert prompts.read(persona(voice="nobody")) is prompts.get(persona(voice="own"))


def test_a_model_without_prompts_ignores_a_personas_prompt() -> None:
    """Moshi starts with an empty LM state, whatever the persona's prompt."""
    heard = sounds(36, 12)[:, 0]
    step = MoshiStep(tiny_lm(context=CONTEXT), tiny_mimi(), 2)
    list(step.warm([persona()]))
    step.join(0, persona())
    step.join(1, persona(""))

    assert not step.work(1.0)
    assert talk(step, 0, heard).wrote == talk(step, 1, heard).wrote


def test_a_slot_with_nan_starts_again_with_its_prompt(lm: LMModel, mimi: MimiModel) -> None:
    """A slot whose memory had a NaN says what a session says that has just joined."""
    heard = sounds(38, 12)[:, 0]
    step = step_of(lm, mimi)
    list(step.warm([persona()]))
    step.join(0, persona())
    talk(step, 0, sounds(37, 5)[:, 0])
    step.memory.tensors["lm.transformer.1.kv"][0] = np.nan
    talk(step, 0, sounds(39, 1)[:, 0])
    again = talk(step, 0, heard)
    step.join(1, persona())

    assert again.wrote == talk(step, 1, heard).wrote
    assert len(set(again.wrote)) > 3
