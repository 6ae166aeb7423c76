"""Small models written as the released ones are: folders of Moshi's and PersonaPlex's kind."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import torch
from moshi.models import loaders
from moshi.models.lm import LMModel
from moshi.utils.quantize import replace_linear_with_qlinear
from safetensors.torch import save_file

from tests.engine.tiny import CARD, mimi_config
from training.tokenizer import WORDS, pieces_of, tokenizer_of

TEXT_CARD = len(pieces_of(WORDS))
LM_NAME, CODEC_NAME, TOKENIZER_NAME = (
    loaders.MOSHI_NAME,
    loaders.MIMI_NAME,
    loaders.TEXT_TOKENIZER_NAME,
)


def lm_kwargs(**sizes: Any) -> dict[str, Any]:
    """Return the sizes of a small model; all others are those of moshi's own 7B."""
    small = {
        "dim": 64,
        "text_card": TEXT_CARD,
        "card": CARD,
        "num_layers": 2,
        "depformer_dim": 32,
        "depformer_num_layers": 2,
        "depformer_dim_feedforward": 132,
    }
    return loaders._lm_kwargs | small | sizes


def random_lm(seed: int = 0, *, eight_bit: bool = False, **sizes: Any) -> LMModel:
    """Return a random model whose tokens vary: embeddings and logits are spread."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = loaders.get_moshi_lm(None, lm_kwargs(**sizes), dtype=torch.float32)
        for name, weights in lm.named_parameters():
            if "emb" in name:
                weights.data.normal_(std=1.0)
            elif "linears" in name or "text_linear" in name:
                weights.data.mul_(3.0)
    if eight_bit:
        replace_linear_with_qlinear(lm)
    return lm


def released(lm: LMModel) -> dict[str, torch.Tensor]:
    """Return the model's tensors by their released names: attention's steps are stacked."""
    state: dict[str, torch.Tensor] = {}
    stacks: dict[str, list[torch.Tensor]] = {}
    for name, tensor in lm.state_dict().items():
        match = re.fullmatch(r"(.*self_attn\.)(in|out)_projs\.\d+\.weight", name)
        if match is None:
            state[name] = tensor
            continue
        stacked = "in_proj_weight" if match[2] == "in" else "out_proj.weight"
        stacks.setdefault(match[1] + stacked, []).append(tensor)
    return state | {name: torch.cat(tensors) for name, tensors in stacks.items()}


def moshi_folder(folder: Path, lm: LMModel, **config: Any) -> Path:
    """Write a folder like `kyutai/moshiko-pytorch-bf16`: config.json, bfloat16 weights."""
    _common(folder)
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in released(lm).items()}
    save_file(weights, folder / LM_NAME)
    names = {
        "moshi_name": LM_NAME,
        "mimi_name": CODEC_NAME,
        "mimi_config_name": "mimi.json",
        "tokenizer_name": TOKENIZER_NAME,
        "model_type": "moshi",
        "lm_gen_config": {"temp": 0.8, "temp_text": 0.7},
    }
    sizes = lm_kwargs(context=40)
    (folder / "config.json").write_text(json.dumps(sizes | names | config))
    return folder


def configure(folder: Path, **changes: Any) -> None:
    """Change fields of a folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def personaplex_folder(folder: Path, lm: LMModel) -> Path:
    """Write a folder like `nvidia/personaplex-7b-v1`; its config.json has no size."""
    _common(folder)
    save_file(released(lm), folder / LM_NAME)
    # All that the real one has; its codec is full-sized, ours is small and must be named.
    config = {"model_type": "personaplex", "version": "7b-v1", "mimi_config_name": "mimi.json"}
    (folder / "config.json").write_text(json.dumps(config))
    with tarfile.open(folder / "voices.tgz", "w:gz") as archive:
        for name in ("NATM1", "NATF0", "VARF4"):
            content = saved_voice(lm)
            voice = tarfile.TarInfo(f"voices/{name}.pt")
            voice.size = len(content)
            archive.addfile(voice, io.BytesIO(content))
    return folder


def saved_voice(lm: LMModel) -> bytes:
    """Return a voice of four frames as PersonaPlex saves one."""
    file = io.BytesIO()
    torch.save(
        {
            "embeddings": torch.zeros(3, 1, 1, lm.dim),
            "cache": torch.ones(1, 1 + lm.n_q, 4, dtype=torch.long),
        },
        file,
    )
    return file.getvalue()


def _common(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        mimi = loaders.get_mimi(None, mimi_config())
    save_file(mimi.state_dict(), folder / CODEC_NAME)
    (folder / "mimi.json").write_text(json.dumps(mimi_config()))
    (folder / TOKENIZER_NAME).write_bytes(tokenizer_of(pieces_of(WORDS)))
