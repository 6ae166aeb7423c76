"""Derive a model's sizes from its tensors, and which of the tensors are loaded.

Pure. Names are those of `LMModel` (moshi 0.2.13). Where the depformer has steps for the user's
codebooks too, as in nvidia/personaplex-7b-v1, these come last and are left out.
"""

import re
from typing import Any

from protocol.errors import InvalidInput
from worker.engine.files.model_config import Config, is_marked_prompted
from worker.engine.files.weight_files import Shapes

TWO_SPEAKERS = 16  # codebooks of agent and user, in moshi's own 7B and all that are made of it

_OF_STEP = re.compile(
    r"(?:linears|depformer_in|depformer_norms"
    r"|depformer\.layers\.\d+\.(?:gating|self_attn\.in_projs|self_attn\.out_projs))\.(\d+)\."
)
_INTO_STEP = re.compile(r"depformer_emb\.(\d+)\.")  # n is read by step n + 1
_ALL_STEPS = re.compile(
    r"depformer\.layers\.\d+\.self_attn\.(?:in_proj_weight|in_proj\.weight|out_proj\.weight)(?:_scb)?$"
)


def agent_steps(config: Config, shapes: Shapes) -> int:
    """Return the depformer steps to keep: one for each codebook that the agent speaks."""
    steps = _count(shapes, "linears")
    return steps // 2 if speaks_for_both(config, shapes) else steps


def is_prompted(config: Config, shapes: Shapes) -> bool:
    """Whether the model follows prompts and voices, by config.json or by its weights.

    An older PersonaPlex has an empty config.json, but its depformer predicts the user.
    """
    return is_marked_prompted(config) or speaks_for_both(config, shapes)


def speaks_for_both(config: Config, shapes: Shapes) -> bool:
    """Whether the depformer, as published, also predicts the user, as PersonaPlex's does.

    It has a step for every codebook. So has one of a single speaker, which must not be halved:
    where config.json names no kind, two speakers are 16 codebooks of equal delays.
    """
    steps, codebooks = _count(shapes, "linears"), _count(shapes, "emb")
    if steps != codebooks or codebooks % 2:
        return False
    if config.get("model_type") == "personaplex":
        return True
    half = 1 + codebooks // 2
    delays = config.get("delays", [])
    return codebooks == TWO_SPEAKERS and delays[1:half] == delays[half : 1 + codebooks]


def takes(name: str, steps: int) -> bool:
    """Whether a tensor belongs to the first `steps` steps of the depformer, or to all."""
    if match := _OF_STEP.match(name):
        return int(match[1]) < steps
    if match := _INTO_STEP.match(name):
        return int(match[1]) < steps - 1
    return True


def rows_taken(name: str, rows: int, steps: int, shapes: Shapes) -> int:
    """Return how many first rows of a tensor to load; attention's steps are stacked in one."""
    return rows * steps // _count(shapes, "linears") if _ALL_STEPS.match(name) else rows


def lm_sizes(config: Config, shapes: Shapes) -> dict[str, Any]:
    """Return arguments of `LMModel` that config.json lacks: all sizes where it is empty.

    Heads, delays and context, which shapes do not show, are then those of moshi's own 7B, as in
    PersonaPlex.
    """
    sizes: dict[str, Any] = {"dep_q": agent_steps(config, shapes)}
    if "dim" in config:
        return sizes
    try:
        return sizes | _all_sizes(shapes)
    except KeyError as error:
        raise InvalidInput(
            f"config.json gives no 'dim' and the weights have no tensor {error}: not a Moshi"
        ) from error


def _all_sizes(shapes: Shapes) -> dict[str, Any]:
    text_rows, dim = shapes["text_emb.weight"]
    card, depformer_dim = shapes["linears.0.weight"]
    ahead = _feed_forward(shapes["transformer.layers.0.gating.linear_in.weight"][0])
    return {
        "dim": dim,
        "text_card": text_rows - 1,
        "card": card,
        "n_q": _count(shapes, "emb"),
        "num_layers": _count(shapes, "transformer.layers"),
        "hidden_scale": ahead / dim,
        "depformer_dim": depformer_dim,
        "depformer_num_layers": _count(shapes, "depformer.layers"),
        "depformer_dim_feedforward": _feed_forward(
            shapes["depformer.layers.0.gating.0.linear_in.weight"][0]
        ),
    }


def _feed_forward(gated_rows: int) -> int:
    """Return the width before gating takes two thirds of it (moshi 0.2.13 gating.py)."""
    return -(-3 * (gated_rows // 2) // 2)


def _count(shapes: Shapes, prefix: str) -> int:
    """Return how many numbered modules a name has."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for name in shapes if (match := pattern.match(name))})
