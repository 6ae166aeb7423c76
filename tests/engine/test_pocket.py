"""The pocket Moshi that is shipped: whole, small, in moshi's own format; and what it says, heard.

People are its own voices' recordings, which it hears as it hears anybody. Seeds are fixed. What it
does in a room is in tests/worker/test_pocket.py, how well in docs/pocket.md (`bench/talk.py`).
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
    """The shipped model with a slot for each persona."""
    none = tmp_path_factory.mktemp("voices")
    settings = Settings(model="pocket", capacity=len(PERSONAS), voices_dir=none)
    return load_model(settings, lambda _: None)


@pytest.fixture
def calls(model: Model) -> Calls:
    """A new call with each persona."""
    return Calls(model, seed=100)


def test_it_is_small_and_whole() -> None:
    """All files together have at most 30 MB, and every catalogue's voice is among them."""
    files = [path for path in pocket.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert {path.stem for path in files if path.suffix == ".wav"} == set(VOICES)


def test_moshi_itself_loads_it() -> None:
    """Upstream's loader reads config, weights, codec and tokenizer as they are."""
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


def test_personas_speak_with_its_voices(model: Model) -> None:
    """It follows prompts and voices, and has the voice of every persona of the catalogue."""
    catalogue = load_catalogue(Settings().personas_dir)
    assert model.prompts
    assert {persona.voice for persona in catalogue.values()} <= set(model.voices)
    assert "demonstration" in model.note


@pytest.mark.parametrize(("echo_db", "lost_share"), [(None, 0.0), (-40.0, 0.0), (-25.0, 0.03)])
def test_everybody_answers_understandably(
    model: Model, echo_db: float | None, lost_share: float
) -> None:
    """After a turn each says a sentence of the repertoire, heard as it is written.

    Also over loudspeakers, where a browser's echo cancellation leaves some of its voice, and where
    10 ms of what comes back are missing now and then.
    """
    loudspeaker = None if echo_db is None else LateVoice(echo_db, 3, lost_share, seed=1)
    ears = Ears([line.text for line in lines()])
    assert whole_answers(model, ears, 100, loudspeaker) >= 0.8 * len(PERSONAS) * len(PEOPLE)


def test_each_has_its_own_voice(calls: Calls) -> None:
    """A persona's answers sound most like the voice that was asked for."""
    for voice in ("NATM0", "NATF0", "NATF2"):  # one sentence tells little of a voice
        calls.hear(np.concatenate([silence(1.0), recording(voice), silence(4.0)]))
    for name, call in calls.of.items():
        assert voice_of(call.pcm(0, len(call.sound))) == PERSONA_VOICES[name]


def test_nobody_speaks_into_silence_or_noise(calls: Calls) -> None:
    """Eight seconds of silence and five of soft noise are no reason to speak."""
    noise = np.random.default_rng(3).standard_normal(60 * FRAME) * 10 ** (-50 / 20)
    calls.hear(np.concatenate([silence(8.0), noise.astype(np.float32)]))
    talkers = [name for name, call in calls.of.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_noises_that_come_and_go_are_no_turns(calls: Calls) -> None:
    """A chair, a tap, a car outside: none of them is answered as if somebody had spoken."""
    chance = np.random.default_rng(5)
    for seconds, db in ((0.4, -50), (1.2, -55), (2.4, -48), (0.8, -45)):
        noise = chance.standard_normal(int(seconds * 12.5) * FRAME) * gain(db)
        calls.hear(np.concatenate([noise.astype(np.float32), silence(1.6)]))
    talkers = [name for name, call in calls.of.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_who_is_interrupted_stops(calls: Calls) -> None:
    """Speech over its answer silences a persona within half a second, most of the time."""
    calls.hear(np.concatenate([silence(1.0), recording("NATF2"), silence(1.2)]))
    begin = calls.frames
    speaking = [name for name, call in calls.of.items() if call.voiced(begin - 3, begin).any()]
    calls.hear(recording("NATM0"))
    later = begin + 8  # 640 ms: half a second, and the frame in which it begins
    stopped = [name for name in speaking if not calls.of[name].voiced(later, later + 4).any()]
    assert len(speaking) >= 3
    assert len(stopped) >= 0.75 * len(speaking), (speaking, stopped)
