"""A small recogniser written as kyutai/stt-1b-en_fr and kyutai/stt-2.6b-en are."""

import json
from pathlib import Path
from typing import Any

import torch
from moshi.models import loaders
from moshi.models.lm import LMModel
from safetensors.torch import save_file

from tests.engine.folders import released
from tests.engine.tiny import CARD, make_hearing
from training.tokenizer import WORDS, pieces_of, tokenizer_of

CODEBOOKS = 32
TEXT_CARD = len(pieces_of(WORDS))
MIMI_NAME, TOKENIZER_NAME = "mimi-pytorch-e351c8d8@125.safetensors", "tokenizer_en_fr.model"

# Every name that kyutai/stt-2.6b-en's config.json has, smaller, and the heads of a candle one.
CONFIG: dict[str, Any] = {
    "card": CARD,
    "n_q": CODEBOOKS,
    "dep_q": 0,
    "delays": [0] * (1 + CODEBOOKS),
    "dim": 64,
    "text_card": TEXT_CARD,
    "existing_text_padding_id": 3,
    "num_heads": 4,
    "num_layers": 2,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 12,
    "max_period": 100000.0,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 32,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_dim_feedforward": None,
    "depformer_multi_linear": True,
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "conditioners": {},
    "cross_attention": False,
    "extra_heads_num_heads": 4,
    "extra_heads_dim": 6,
    "model_id": {"sig": "dabcc802", "epoch": 50},
    "lm_gen_config": {"temp": 0.0, "temp_text": 0.0, "top_k": 250, "top_k_text": 50},
    "stt_config": {"audio_delay_seconds": 0.16, "audio_silence_prefix_seconds": 0.24},
    "model_type": "stt",
    "mimi_name": MIMI_NAME,
    "mimi_config_name": "mimi.json",  # the released codec has moshi's own sizes
    "tokenizer_name": TOKENIZER_NAME,
}


def recogniser_folder(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a folder of random weights, whose tokens and pauses follow what is heard."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | changes
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mimi.json").write_text(json.dumps(mimi_config()))
    (folder / TOKENIZER_NAME).write_bytes(tokenizer_of(pieces_of(WORDS)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mimi = loaders.get_mimi(None, mimi_config(), num_codebooks=CODEBOOKS)
        make_hearing(mimi)
        save_file(mimi.state_dict(), folder / MIMI_NAME)
        save_file(released(random_lm(config)), folder / "model.safetensors")
    return folder


def random_lm(config: dict[str, Any]) -> LMModel:
    """Return a language model whose tokens vary."""
    others = ("model_id", "lm_gen_config", "stt_config", "model_type", "conditioners")
    kwargs = {
        name: value
        for name, value in config.items()
        if name not in others and not name.endswith("_name")
    }
    lm = loaders.get_moshi_lm(None, kwargs, dtype=torch.float32)
    for name, weights in lm.named_parameters():
        if "emb" in name:
            weights.data.normal_(std=1.0)
        elif "text_linear" in name or "extra_heads" in name:
            weights.data.mul_(3.0)
    return lm


def mimi_config() -> dict[str, Any]:
    """Return the config of a small Mimi with 32 codebooks."""
    config = json.loads(json.dumps(loaders._mimi_config))
    config["seanet"] |= {"dimension": 16, "n_filters": 2}
    config["quantizer"] |= {
        "dimension": 8,
        "n_q": CODEBOOKS,
        "bins": CARD,
        "input_dimension": 16,
        "output_dimension": 16,
    }
    config["transformer"] |= {
        "d_model": 16,
        "num_heads": 2,
        "num_layers": 1,
        "layer_scale": 0.5,
        "context": 10,
        "dim_feedforward": 32,
        "input_dimension": 16,
        "output_dimensions": [16],
    }
    return config
