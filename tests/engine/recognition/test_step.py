"""Recognition in a batch gives moshi's own tokens for the same sound."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from moshi.models.lm import LMGen
from moshi.models.loaders import CheckpointInfo
from moshi.utils.compile import no_compile

from protocol.errors import InvalidInput
from tests.engine.recognition.folder import recogniser_folder
from tests.engine.test_step import sounds
from worker.engine.arrays import Pcm
from worker.engine.recognition.load import FoundRecogniser, find_recogniser
from worker.engine.recognition.step import KyutaiStep

CPU = torch.device("cpu")
PAUSE_HEAD = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recogniser in the released format."""
    return recogniser_folder(tmp_path_factory.mktemp("models") / "stt")


@dataclass
class Heard:
    """What a person said, and what was recognised frame by frame."""

    sound: list[Pcm] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)


def ignore(line: str) -> None:
    """Ignore a line of progress."""


def found(folder: Path) -> FoundRecogniser:
    """Return the files of a folder, in float32."""
    return find_recogniser(str(folder), CPU, torch.float32, ignore, 2**33)


def step_of(folder: Path, rows: int) -> KyutaiStep:
    """Return the batched step that loading the folder makes."""
    step = found(folder).load(rows, ignore).listeners._step
    assert isinstance(step, KyutaiStep)
    return step


@torch.inference_mode()
def upstream(folder: Path, sound: list[Pcm]) -> Heard:
    """Run moshi's own `LMGen` as run_inference.py does, with the pauses of its extra heads."""
    names = {"config_path": folder / "config.json", "mimi_config_path": folder / "mimi.json"}
    own = {
        "moshi_weights": folder / "model.safetensors",
        "mimi_weights": folder / "mimi-pytorch-e351c8d8@125.safetensors",
        "tokenizer": folder / "tokenizer_en_fr.model",
    }
    info = CheckpointInfo.from_hf_repo("", **names, **own)
    mimi, lm = info.get_mimi(), info.get_moshi(dtype=torch.float32)
    prefix_s = info.stt_config["audio_silence_prefix_seconds"]
    silence = [np.zeros(1920, np.float32)] * int(prefix_s * 12.5)
    heard = Heard(sound)
    lm_gen = LMGen(lm, **info.lm_gen_config)
    with no_compile(), lm_gen.streaming(1), mimi.streaming(1):
        for n, frame in enumerate([*silence, *sound]):
            codes = mimi.encode(torch.from_numpy(frame)[None, None])
            if n == 0:
                lm_gen.step(codes)
            answer = lm_gen.step_with_extra_heads(codes)
            assert answer is not None
            tokens, heads = answer
            heard.tokens.append(int(tokens[0, 0, 0]))
            heard.pauses.append(float(heads[PAUSE_HEAD][0, 0, 0]))
    heard.tokens, heard.pauses = heard.tokens[len(silence) :], heard.pauses[len(silence) :]
    return heard


def assert_alike(heard: Heard, folder: Path) -> None:
    """Check that tokens are moshi's, and pauses, too, but for rounding."""
    alone = upstream(folder, heard.sound)
    assert heard.tokens == alone.tokens
    np.testing.assert_allclose(heard.pauses, alone.pauses, atol=1e-5)


def test_one_row_gives_moshis_own_tokens(folder: Path) -> None:
    """Over 40 frames, with a context of 12, a row has moshi's tokens and pauses."""
    step, heard = step_of(folder, 1), Heard()
    step.join(0)
    for (frame,) in sounds(1, 40):
        out = step.run(frame[None], np.array([True]))
        heard.sound.append(frame)
        heard.tokens.append(int(out.text[0]))
        heard.pauses.append(float(out.pause[0]))

    assert_alike(heard, folder)
    assert len(set(heard.tokens)) > 10
    assert max(heard.pauses) - min(heard.pauses) > 0.2


def meet(step: KyutaiStep, seed: int, steps: int = 45) -> list[Heard]:
    """Let people join, stall, leave and reuse rows at random; return each person there was."""
    rng = np.random.default_rng(seed)
    rows: list[Heard | None] = [None] * step.capacity
    people: list[Heard] = []
    for pcm in sounds(seed, steps, slots=step.capacity):
        for row, person in enumerate(rows):
            if person is None and rng.random() < 0.2:
                step.join(row)
                rows[row] = Heard()
                people.append(rows[row])
            elif person is not None and rng.random() < 0.05:
                rows[row] = None
        running = np.array([each is not None and rng.random() < 0.8 for each in rows])
        out = step.run(pcm, running)
        for row, person in enumerate(rows):
            if person is not None and running[row]:
                person.sound.append(pcm[row])
                person.tokens.append(int(out.text[row]))
                person.pauses.append(float(out.pause[row]))
    return people


def test_people_who_join_stall_and_leave_change_no_other_words(folder: Path) -> None:
    """Each person's tokens are those of a run alone, whoever else speaks, stalls or leaves."""
    people = meet(step_of(folder, 4), seed=3)

    assert len(people) > 6
    for person in people:
        assert_alike(person, folder)


def test_a_row_with_nan_loses_one_frame(folder: Path) -> None:
    """A NaN in a row's memory makes one frame of that row invalid, and the row starts again."""
    step, frame = step_of(folder, 2), sounds(4, 1)[0, 0]
    pcm, both = np.stack([frame, frame]), np.array([True, True])
    for row in (0, 1):
        step.join(row)
    before = step.run(pcm, both)
    step.memory.tensors["lm.transformer.0.kv"][0].fill_(float("nan"))
    lost = step.run(pcm, both)
    again = step.run(pcm, both)

    assert before.valid.tolist() == again.valid.tolist() == [True, True]
    assert lost.valid.tolist() == [False, True]
    assert again.text[0] == before.text[0]


def test_without_heads_there_are_no_pauses(tmp_path: Path) -> None:
    """A recogniser without extra heads, as kyutai/stt-2.6b-en, reports that it has no pauses."""
    bare = recogniser_folder(tmp_path / "stt", extra_heads_num_heads=0)
    recognition = found(bare).load(1, ignore)

    assert not recognition.has_pauses


def test_the_memory_plan_counts_a_rows_tensors(folder: Path) -> None:
    """The plan counts a row's tensors and at most 4 MiB more, and the bytes of the weights."""
    recogniser = found(folder)
    step = step_of(folder, 2)

    assert step.memory.slot_bytes <= recogniser.row_bytes
    assert recogniser.row_bytes - step.memory.slot_bytes < 4 * 2**20
    assert recogniser.weights_bytes == sum(
        each.nbytes for each in recogniser.bare.state_dict().values()
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "moshi"}, "model_type='moshi' is no model for speech recognition"),
        ({"delays": [0, *[1] * 32]}, "delays: expected 0"),
        ({"stt_config": {}}, "audio_delay_seconds"),
        ({"conditioners": {"lang": {}}}, "it wants conditions (lang)"),
        ({"text_card": 9}, "they belong to different models"),
        ({"num_layers": 3}, "does not fit config.json"),
    ],
)
def test_other_models_are_refused(
    folder: Path, tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    """Each refusal names STT, the folder and what was expected."""
    other = shutil.copytree(folder, tmp_path / "stt")
    config = json.loads((folder / "config.json").read_text()) | changes
    (other / "config.json").write_text(json.dumps(config))

    with pytest.raises(InvalidInput) as refused:
        found(other).load(1, ignore)

    assert str(refused.value).startswith(f"STT='{other}'")
    assert sentence in str(refused.value)


def test_weights_for_apples_chips_are_refused_by_name() -> None:
    """A repository for MLX is refused by its name, without fetching."""
    with pytest.raises(InvalidInput, match="it is for MLX"):
        find_recogniser("kyutai/stt-1b-en_fr-mlx", CPU, torch.float32, ignore, 2**33)
