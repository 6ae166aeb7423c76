"""The built-in model: a folder in exactly the real format, made on the spot from a fixed seed.

It makes sounds, not sense: it shows and tests everything around a model on any CPU, without a
download. `babble.py` makes its language model, `larynx.py` its codec. Pure: numpy, no torch.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sentencepiece import sentencepiece_model_pb2

from worker.engine import babble, larynx

NOTE = (
    "The built-in model makes sounds, not sense: "
    "it is a demonstration; MODEL=pocket answers in sentences."
)
SEED = 20_250_301

LM_FILE = "model.safetensors"
CODEC_FILE = "mimi.safetensors"
CODEC_CONFIG_FILE = "mimi.json"
TOKENIZER_FILE = "tokenizer.model"

VOCABULARY = """
    a about after again all almost along already also always and another any anything are around
    as ask at away back be because been before begin being believe better between big both bring but
    by call came can change come could day did different do does done door down each early easy
    enough even evening ever every example far few find first follow food for found friend from full
    funny garden gave get give go good great green had hand happy hard has have he head hear heard
    hello help her here high him his home hour house how idea if imagine in interesting into is it
    just keep kind know last later laugh learn leave left less let letter life light like listen
    little live long look made make many maybe me mean might moment moon more morning most move much
    music must my name near need never new next nice night no not nothing now of off often oh okay
    old on once one only open or other our out over own paper part people perhaps place play
    please point question quite rain read ready really remember right river room said same say
    sea see seem she should show side simple sing sky slow small so some something soon sound
    speak start stay still stop story street such summer sun sure take talk tell than thank that the
    their them then there these they thing think this those thought time to today together tomorrow
    too tree try turn two under until up us use very voice wait walk want warm was water way we well
    went were what when where which while who why will wind window winter with wonder word work
    world would year yes yesterday yet you young your
    """
WORDS = tuple(VOCABULARY.split())
MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()/<>"


def builtin_folder(cache_dir: Path) -> Path:
    """The folder of the built-in model, written first where it is not there yet.

    Named after the code that makes it, so that no cache ever serves an older one. Several
    processes may ask at once: it is written beside its place and moved there whole.
    """
    folder = cache_dir / "models" / f"builtin-{_format_version()}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".builtin-", dir=folder.parent))
    try:
        _write(draft)
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # nobody else was faster: this one is ours to report
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _format_version() -> str:
    sources = (Path(module.__file__ or "") for module in (babble, larynx))
    code = b"".join(path.read_bytes() for path in (*sources, Path(__file__)))
    return hashlib.sha256(code).hexdigest()[:12]


def _write(folder: Path) -> None:
    """Write every file of the model."""
    pieces = pieces_of(WORDS)
    words = [pieces.index(f"▁{word}") for word in WORDS]
    mind, throat = np.random.default_rng(SEED).spawn(2)
    voices = babble.voices(mind)
    save_file(babble.lm_weights(len(pieces), words, mind), folder / LM_FILE)
    save_file(larynx.codec_weights(voices, throat), folder / CODEC_FILE)
    (folder / TOKENIZER_FILE).write_bytes(tokenizer_of(pieces))
    _write_json(folder / CODEC_CONFIG_FILE, larynx.codec_config())
    _write_json(folder / "config.json", _config(len(pieces)))


def _config(text_card: int) -> dict[str, Any]:
    """config.json as `CheckpointInfo.from_hf_repo` reads it (moshi 0.2.13)."""
    return babble.lm_config(text_card) | {
        "moshi_name": LM_FILE,
        "mimi_name": CODEC_FILE,
        "mimi_config_name": CODEC_CONFIG_FILE,
        "tokenizer_name": TOKENIZER_FILE,
        "model_type": "moshi",
        "lm_gen_config": {
            "temp": babble.TEMPERATURE,
            "temp_text": babble.TEXT_TEMPERATURE,
            "top_k": 250,
            "top_k_text": 25,
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def pieces_of(words: Iterable[str]) -> list[str]:
    """Piece of every text id: control ids, bytes, characters, words."""
    control = ["<unk>", "<s>", "</s>", "<pad>"]
    single_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    return [*control, *single_bytes, "▁", *MARKS, *(f"▁{word}" for word in words)]


def tokenizer_of(pieces: list[str]) -> bytes:
    """A sentencepiece model that reads any text: whole words where it knows them, else letters."""
    proto: Any = sentencepiece_model_pb2  # its classes are made at import: no checker sees them
    model = proto.ModelProto()
    spec = model.trainer_spec
    spec.model_type = spec.UNIGRAM
    spec.vocab_size = len(pieces)
    spec.byte_fallback = True
    spec.unk_id, spec.bos_id, spec.eos_id, spec.pad_id = 0, 1, 2, 3
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    kinds = proto.ModelProto.SentencePiece
    for index, piece in enumerate(pieces):
        kind = kinds.NORMAL
        if index < 4:
            kind = kinds.UNKNOWN if index == 0 else kinds.CONTROL
        elif index < 4 + 256:
            kind = kinds.BYTE
        score = -2.0 * len(piece) ** 0.5 if kind == kinds.NORMAL else 0.0
        model.pieces.add(piece=piece, score=score, type=kind)
    return model.SerializeToString(deterministic=True)
