"""The pocket Moshi that is shipped: whole, small, in moshi's own format; and what it says, heard.

People are its own voices' recordings, which it hears as it hears anybody. Seeds are fixed. What it
does in a room is in tests/worker/test_pocket.py, how well in docs/pocket.md (`bench/talk.py`).
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import sphn
from moshi.models import loaders

from protocol.config.settings import Settings
from protocol.personas import Persona, load_catalogue
from training.ears import Ears, spelled, voice_of
from training.repertoire import PERSONA_VOICES, VOICES, lines
from training.sound import FRAME, RATE_HZ, Pcm, gain
from worker.engine.files import pocket
from worker.engine.load import load_model
from worker.engine.model import Model

pytestmark = pytest.mark.slow

LARGEST = 30_000_000  # bytes in the repository
WHO = list(PERSONA_VOICES)
VOICED = 10 ** (-45 / 20)
HOP = 240
ECHO_FRAMES = 3  # later than it was said


@dataclass
class Call:
    """The words of one persona, and their times."""

    sound: list[Pcm] = field(default_factory=list)
    words: list[tuple[int, str]] = field(default_factory=list)  # frame, piece

    def text(self, first: int, last: int) -> str:
        """The words of these frames."""
        pieces = (piece for frame, piece in self.words if first <= frame < last)
        return "".join(pieces).replace("▁", " ").strip()

    def pcm(self, first: int, last: int) -> Pcm:
        """The sound of these frames."""
        return np.concatenate(self.sound[first:last])

    def voiced(self, first: int, last: int) -> np.ndarray:
        """Which 10 ms of these frames sound."""
        pieces = self.pcm(first, last).reshape(-1, HOP)
        return np.sqrt(np.mean(pieces**2, axis=1)) > VOICED


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The shipped model with a slot for each persona."""
    none = tmp_path_factory.mktemp("voices")
    settings = Settings(model="pocket", capacity=len(WHO), voices_dir=none)
    return load_model(settings, lambda _: None)


@pytest.fixture
def calls(model: Model) -> dict[str, Call]:
    """A new call with each persona, none of which greets."""
    catalogue = load_catalogue(Settings().personas_dir)
    for slot, name in enumerate(WHO):
        persona: Persona = catalogue[name]
        sampling = persona.sampling.model_copy(update={"seed": 100 + slot})
        model.step.join(slot, persona.model_copy(update={"sampling": sampling, "greeting": False}))
    return {name: Call() for name in WHO}


def _recording(name: str) -> Pcm:
    pcm, rate = sphn.read(str(pocket.FOLDER / "voices" / f"{name}.wav"))
    assert rate == RATE_HZ
    return np.pad(pcm[0], (0, -len(pcm[0]) % FRAME))


def _hear(model: Model, calls: dict[str, Call], sound: Pcm, echo_db: float | None = None) -> None:
    """Let all hear this, and each its own voice of a while ago, softer by `echo_db`."""
    everybody = np.ones(len(WHO), dtype=np.bool_)
    for frame in sound.reshape(-1, FRAME):
        heard = np.tile(frame, (len(WHO), 1))
        if echo_db is not None:
            for own, call in zip(heard, calls.values(), strict=True):
                late = call.sound[-ECHO_FRAMES:][:1] or [np.zeros(FRAME, np.float32)]
                own += gain(echo_db) * late[0]
        out = model.step.run(heard, everybody)
        model.step.work(1.0)
        for slot, name in enumerate(WHO):
            call = calls[name]
            piece = model.pieces[out.text[slot]] if out.valid[slot] else None
            if piece:
                call.words.append((len(call.sound), piece))
            call.sound.append(out.pcm[slot] if out.valid[slot] else np.zeros(FRAME, np.float32))


def _silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * 12.5) * FRAME, np.float32)


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


@pytest.mark.parametrize("echo_db", [None, -40.0, -25.0])
def test_everybody_answers_understandably(
    model: Model, calls: dict[str, Call], echo_db: float | None
) -> None:
    """After a turn each says a sentence of the repertoire, heard as it is written.

    Also over loudspeakers, where a browser's echo cancellation leaves some of its voice.
    """
    ears = Ears([line.text for line in lines()])
    right = told = 0
    for turn, voice in enumerate(["NATM0", "NATF0", "NATM1", "NATF2"]):
        begin = len(calls[WHO[0]].sound)
        said = np.concatenate([_silence(0.6 + turn / 10), _recording(voice), _silence(5.5)])
        _hear(model, calls, said, echo_db)
        for call in calls.values():
            end = len(call.sound)
            heard = ears.hear(call.pcm(begin, end))
            told += 1
            right += heard is not None and spelled(heard) == spelled(call.text(begin, end))
    assert right >= 0.8 * told, f"{right} of {told}"


def test_each_has_its_own_voice(model: Model, calls: dict[str, Call]) -> None:
    """A persona's answers sound most like the voice that was asked for."""
    for voice in ("NATM0", "NATF0", "NATF2"):  # one sentence tells little of a voice
        _hear(model, calls, np.concatenate([_silence(1.0), _recording(voice), _silence(4.0)]))
    for name, call in calls.items():
        assert voice_of(call.pcm(0, len(call.sound))) == PERSONA_VOICES[name]


def test_nobody_speaks_into_silence_or_noise(model: Model, calls: dict[str, Call]) -> None:
    """Eight seconds of silence and five of soft noise are no reason to speak."""
    noise = np.random.default_rng(3).standard_normal(60 * FRAME) * 10 ** (-50 / 20)
    _hear(model, calls, np.concatenate([_silence(8.0), noise.astype(np.float32)]))
    talkers = [name for name, call in calls.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_noises_that_come_and_go_are_no_turns(model: Model, calls: dict[str, Call]) -> None:
    """A chair, a tap, a car outside: none of them is answered as if somebody had spoken."""
    chance = np.random.default_rng(5)
    for seconds, db in ((0.4, -50), (1.2, -55), (2.4, -48), (0.8, -45)):
        noise = chance.standard_normal(int(seconds * 12.5) * FRAME) * gain(db)
        _hear(model, calls, np.concatenate([noise.astype(np.float32), _silence(1.6)]))
    talkers = [name for name, call in calls.items() if call.words]
    assert len(talkers) <= 1, talkers


def test_who_is_interrupted_stops(model: Model, calls: dict[str, Call]) -> None:
    """Speech over its answer silences a persona within half a second, most of the time."""
    _hear(model, calls, np.concatenate([_silence(1.0), _recording("NATF2"), _silence(1.2)]))
    begin = len(calls[WHO[0]].sound)
    speaking = [name for name, call in calls.items() if call.voiced(begin - 3, begin).any()]
    _hear(model, calls, _recording("NATM0"))
    later = begin + 8  # 640 ms: half a second, and the frame in which it begins
    stopped = [name for name in speaking if not calls[name].voiced(later, later + 4).any()]
    assert len(speaking) >= 3
    assert len(stopped) >= 0.75 * len(speaking), (speaking, stopped)
