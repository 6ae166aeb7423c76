"""Loading a recogniser beside a worker's model: plan, rows, and the model's own words."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protocol.errors import InvalidInput
from tests.engine.recognition.folder import TEXT_CARD, recogniser_folder
from tests.engine.test_load import ignore, settings
from tests.engine.test_step import GREEDY, sounds, talk
from worker.engine.capacity import SPARE_ROWS
from worker.engine.files.recognisers import DEFAULT, kyutais
from worker.engine.load import load_model
from worker.engine.model import Model
from worker.engine.recognition import load as load_recogniser
from worker.engine.recognition.listeners import HeardFrame
from worker.engine.recognition.load import find_recogniser
from worker.engine.step import MoshiStep


@pytest.fixture(scope="module")
def stt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recogniser's folder."""
    return recogniser_folder(tmp_path_factory.mktemp("models") / "stt")


def load(model: Path | str, stt: Path | str) -> tuple[Model, list[str]]:
    """Load a model of two slots; return it with the lines of progress."""
    lines: list[str] = []
    return load_model(settings(model, capacity=2, stt=str(stt)), lines.append), lines


def test_a_recogniser_does_not_change_what_a_persona_says(moshi: Path, stt: Path) -> None:
    """A persona says the same with and without a recogniser, which recognises people's frames."""
    alone, _ = load(moshi, "off")
    both, lines = load(moshi, stt)
    heard: list[HeardFrame | None] = []
    said: list[list[int]] = []
    for model in (alone, both):
        assert isinstance(model.step, MoshiStep)
        model.step.join(0, GREEDY)
        if model.recognition is not None:
            person = model.recognition.listeners.open(heard.append)
            assert person is not None
            for (frame,) in sounds(5, 8):
                person.push(frame)
            model.recognition.listeners.use_gap(lambda: 60.0)
        said.append(talk(model.step, 0, sounds(6, 20)[:, 0]).wrote)

    assert alone.recognition is None
    assert both.recognition is not None
    assert both.recognition.listeners.capacity == 2 + SPARE_ROWS
    assert said[0] == said[1]
    assert len(heard) == 8
    assert len({each.token for each in heard if each is not None}) > 2
    assert any("people's words" in line for line in lines)


def test_a_recogniser_without_kernels_says_why(stt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernels do not run on a card, a line of progress names the recogniser and why."""
    found = find_recogniser(str(stt), torch.device("cpu"), torch.float32, ignore, 2**40)
    on_card = replace(found, device=torch.device("cuda"))
    lines: list[str] = []
    for why in (None, "Triton is not installed"):
        monkeypatch.setattr(load_recogniser, "why_no_kernels", lambda *_, why=why: why)
        assert on_card.stored(lines.append).kernels == (why is None)

    assert lines == [f"{found.files.name} by torch's attention: Triton is not installed"]
    assert not found.stored(lines.append).kernels
    assert len(lines) == 1  # on a CPU there is nothing to say


def test_padding_has_no_text(stt: Path) -> None:
    """A recogniser's padding adds no text and begins no word."""
    model, _ = load("echo", stt)
    recognition = model.recognition
    assert recognition is not None
    words = range(recognition.padding + 1, TEXT_CARD)
    begin = next(n for n in words if recognition.begins_word(n) and recognition.decode([n]))

    assert recognition.decode([begin, recognition.padding]) == recognition.decode([begin])
    assert not recognition.begins_word(recognition.padding)


def test_an_explicit_recogniser_that_is_missing_is_refused(moshi: Path, tmp_path: Path) -> None:
    """A folder without weights is refused with a sentence that names STT."""
    (tmp_path / "config.json").write_text('{"model_type": "stt", "dim": 64, "dep_q": 0}')
    with pytest.raises(InvalidInput, match=r"STT=.*model\.safetensors is missing"):
        load(moshi, tmp_path)


def test_stt_names_kyutais_models_by_name_folder_or_gpu(stt: Path, tmp_path: Path) -> None:
    """Kyutai's model is meant by its name, by its folder's config.json, and by `auto` on a GPU."""
    (tmp_path / "config.json").write_text('{"alignment_heads": []}')

    assert kyutais("auto", on_gpu=True) == DEFAULT
    assert kyutais("auto", on_gpu=False) is None
    assert kyutais("kyutai/stt-2.6b-en", on_gpu=False) == "kyutai/stt-2.6b-en"
    assert kyutais(str(stt), on_gpu=False) == str(stt)
    for other in ("off", "whisper", "Systran/faster-whisper-tiny.en", str(tmp_path)):
        assert kyutais(other, on_gpu=True) is None
