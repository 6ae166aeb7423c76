"""The pocket Moshi that is shipped: complete, small, in moshi's own format, and what it says.

People are its own voices' recordings. Seeds are fixed. tests/worker/test_pocket.py tests it in a
room, and docs/pocket.md says how well it does there (`bench/talk.py`).
"""

from pathlib import Path

import numpy as np
import pytest
from moshi.models import loaders

from protocol.config.settings import Settings
from protocol.personas import load_catalogue
from training.calls import PERSONAS, Calls, recording, silence
from training.ears import Ears, voice_of
from training.loudspeakers import PEOPLE, LateVoice, whole_answers
from training.repertoire import PERSONA_VOICES, VOICES, lines
from training.sound import FRAME, gain
from worker.engine.files import pocket
from worker.engine.load import load_model
from worker.engine.model import Model

pytestmark = pytest.mark.slow

LARGEST = 30_000_000  # bytes in the repository


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return the shipped model with a slot for each persona."""
    none = tmp_path_factory.mktemp("voices")
    settings = Settings(model="pocket", capacity=len(PERSONAS), voices_dir=none)
    return load_model(settings, lambda _: None)


@pytest.fixture
def calls(model: Model) -> Calls:
    """Return a new call with each persona."""
    return Calls(model, seed=100)


def test_the_shipped_model_is_small_and_has_all_voices() -> None:
    """All files have at most 30 MB together, and the recordings are those of all voices."""
    files = [path for path in pocket.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert {path.stem for path in files if path.suffix == ".wav"} == set(VOICES)


def test_upstream_loads_the_shipped_model() -> None:
    """moshi's own loader reads config, weights, codec and tokenizer."""
    folder: Path = pocket.FOLDER
    checkpoint = loaders.CheckpointInfo.from_hf_repo(
        "none/none",
        moshi_weights=folder / "model.safetensors",
        mimi_weights=folder / "mimi.safetensors",
        tokenizer=folder / "tokenizer.model",
        config_path=folder / "config.json",
        mimi_config_path=folder / "mimi.json",
    )
    lm = checkpoint.get_moshi(device="cpu")
    assert (lm.n_q, lm.dep_q, lm.text_padding_token_id) == (16, 8, 3)
    assert checkpoint.get_text_tokenizer().vocab_size() == lm.text_card


def test_the_shipped_model_has_the_voices_of_all_personas(model: Model) -> None:
    """The model reads prompts, and has the voice of every persona of the catalogue."""
    catalogue = load_catalogue(Settings().personas_dir)
    assert model.prompts
    assert {persona.voice for persona in catalogue.values()} <= set(model.voices)
    assert "demonstration" in model.note


@pytest.mark.parametrize(("echo_db", "lost_share"), [(None, 0.0), (-25.0, 0.03)])
def test_most_answers_of_all_personas_are_understood(
    model: Model, echo_db: float | None, lost_share: float
) -> None:
    """Of all answers at least 80 % are heard as a sentence of the repertoire.

    This holds also over loudspeakers, where a browser's echo cancellation leaves some of the
    persona's voice, and where 10 ms of what comes back are missing now and then.
    """
    loudspeaker = None if echo_db is None else LateVoice(echo_db, 3, lost_share, seed=1)
    ears = Ears([line.text for line in lines()])
    assert whole_answers(model, ears, 100, loudspeaker) >= 0.8 * len(PERSONAS) * len(PEOPLE)


def test_each_persona_sounds_like_its_own_voice(calls: Calls) -> None:
    """A persona's answers are most like the recording of its voice."""
    for voice in ("NATM0", "NATF0", "NATF2"):  # one sentence tells little of a voice
        calls.hear(np.concatenate([silence(1.0), recording(voice), silence(4.0)]))
    for name, call in calls.of.items():
        assert voice_of(call.pcm(0, len(call.sound))) == PERSONA_VOICES[name]


def test_personas_do_not_speak_into_silence_or_noise(calls: Calls) -> None:
    """In eight seconds of silence and five of soft noise at most one persona speaks."""
    noise = np.random.default_rng(3).standard_normal(60 * FRAME) * 10 ** (-50 / 20)
    calls.hear(np.concatenate([silence(8.0), noise.astype(np.float32)]))
    talkers = [name for name, call in calls.of.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_short_noises_get_no_answer(calls: Calls) -> None:
    """After four short noises with pauses between them at most one persona has spoken."""
    chance = np.random.default_rng(5)
    for seconds, db in ((0.4, -50), (1.2, -55), (2.4, -48), (0.8, -45)):
        noise = chance.standard_normal(int(seconds * 12.5) * FRAME) * gain(db)
        calls.hear(np.concatenate([noise.astype(np.float32), silence(1.6)]))
    talkers = [name for name, call in calls.of.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_a_persona_that_is_interrupted_stops(calls: Calls) -> None:
    """Speech over their answers silences three quarters of the personas within half a second."""
    calls.hear(np.concatenate([silence(1.0), recording("NATF2"), silence(1.2)]))
    begin = calls.frames
    speaking = [name for name, call in calls.of.items() if call.voiced(begin - 3, begin).any()]
    calls.hear(recording("NATM0"))
    later = begin + 8  # 640 ms: half a second, and the frame in which it begins
    stopped = [name for name in speaking if not calls.of[name].voiced(later, later + 4).any()]
    assert len(speaking) >= 3
    assert len(stopped) >= 0.75 * len(speaking), (speaking, stopped)
