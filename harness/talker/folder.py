"""The talker's folder: in exactly the format of released models, made from a fixed seed.

`language.py` makes its language model, `codec.py` its codec.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from harness.talker import codec, language
from training.tokenizer import WORDS, pieces_of, tokenizer_of

CACHE = Path(os.environ.get("CACHE_DIR") or "~/.cache/moshi-rooms").expanduser()
SEED = 20_250_301

LM_FILE = "model.safetensors"
CODEC_FILE = "mimi.safetensors"
CODEC_CONFIG_FILE = "mimi.json"
TOKENIZER_FILE = "tokenizer.model"


def talker_folder(cache_dir: Path = CACHE) -> Path:
    """Return the talker's folder; write it first where it is missing.

    Named after the code that makes it, so that no cache ever serves an older one. Several
    processes may ask at once: it is written beside its place and moved there whole.
    """
    folder = cache_dir / "models" / f"talker-{_format_version()}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".talker-", dir=folder.parent))
    try:
        _write(draft)
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # no other process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _format_version() -> str:
    sources = (Path(module.__file__ or "") for module in (codec, language))
    code = b"".join(path.read_bytes() for path in (*sources, Path(__file__)))
    return hashlib.sha256(code).hexdigest()[:12]


def _write(folder: Path) -> None:
    """Write every file of the model."""
    pieces = pieces_of(WORDS)
    words = [pieces.index(f"▁{word}") for word in WORDS]
    mind, throat = np.random.default_rng(SEED).spawn(2)
    voices = language.voices(mind)
    save_file(language.lm_weights(len(pieces), words, mind), folder / LM_FILE)
    save_file(codec.codec_weights(voices, throat), folder / CODEC_FILE)
    (folder / TOKENIZER_FILE).write_bytes(tokenizer_of(pieces))
    _write_json(folder / CODEC_CONFIG_FILE, codec.codec_config())
    _write_json(folder / "config.json", _config(len(pieces)))


def _config(text_card: int) -> dict[str, Any]:
    """config.json as `CheckpointInfo.from_hf_repo` reads it (moshi 0.2.13)."""
    return language.lm_config(text_card) | {
        "moshi_name": LM_FILE,
        "mimi_name": CODEC_FILE,
        "mimi_config_name": CODEC_CONFIG_FILE,
        "tokenizer_name": TOKENIZER_FILE,
        "model_type": "moshi",
        "lm_gen_config": {
            "temp": language.TEMPERATURE,
            "temp_text": language.TEXT_TEMPERATURE,
            "top_k": 250,
            "top_k_text": 25,
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
