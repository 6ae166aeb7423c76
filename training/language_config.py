"""The sizes of the pocket Moshi's language model, as config.json has them (moshi 0.2.13)."""

from typing import Any

from training.codec import CODEC_CONFIG_FILE, CODEC_FILE
from training.codec_config import CARD, CODEBOOKS
from training.repertoire import lines_by_voice
from training.words import PAD

LM_FILE, TOKENIZER_FILE = "model.safetensors", "tokenizer.model"
DIM, HEADS, LAYERS, HIDDEN_SCALE = 192, 6, 4, 4
DEP_DIM, DEP_HEADS, DEP_HIDDEN = 96, 3, 288
CONTEXT = 400  # 32 s: an opening and the dialogues of 24 s that it is trained on
DELAYS = [0, 1, 1, 1, 1, 1, 1, 1]  # of the agent's codebooks, and of the user's


def lm_config(text_card: int) -> dict[str, Any]:
    """Return the arguments of `LMModel`."""
    return {
        "card": CARD,
        "n_q": 2 * CODEBOOKS,
        "dep_q": CODEBOOKS,
        "delays": [0, *DELAYS, *DELAYS],
        "dim": DIM,
        "text_card": text_card,
        "existing_text_padding_id": PAD,
        "num_heads": HEADS,
        "num_layers": LAYERS,
        "hidden_scale": HIDDEN_SCALE,
        "causal": True,
        "layer_scale": None,
        "context": CONTEXT,
        "max_period": 10_000,
        "gating": "silu",
        "norm": "rms_norm_f32",
        "positional_embedding": "rope",
        "depformer_dim": DEP_DIM,
        "depformer_dim_feedforward": DEP_HIDDEN,
        "depformer_num_heads": DEP_HEADS,
        "depformer_num_layers": 1,
        "depformer_layer_scale": None,
        "depformer_multi_linear": True,
        "depformer_context": CODEBOOKS,
        "depformer_max_period": 10_000,
        "depformer_gating": "silu",
        "depformer_pos_emb": "none",
        "depformer_weights_per_step": True,
    }


def config(text_card: int) -> dict[str, Any]:
    """Return config.json as `CheckpointInfo.from_hf_repo` reads it."""
    return lm_config(text_card) | {
        "moshi_name": LM_FILE,
        "mimi_name": CODEC_FILE,
        "mimi_config_name": CODEC_CONFIG_FILE,
        "tokenizer_name": TOKENIZER_FILE,
        "model_type": "moshi",
        "model_id": {"name": "pocket", "prompted": True, "lines": lines_by_voice()},
        "lm_gen_config": {"temp": 0.8, "temp_text": 0.7, "top_k": 250, "top_k_text": 25},
    }
