"""What a checkpoint's tensors say about the model: its sizes, and which of them we take.

Pure. Names are those of `LMModel` (moshi 0.2.13). Where the depformer has a step for every
codebook, the user's too, as in nvidia/personaplex-7b-v1, the user's come last, are given anyway,
and are left out here.
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
    """Depformer steps to keep: one for each codebook that the agent speaks."""
    steps = _count(shapes, "linears")
    return steps // 2 if speaks_for_both(config, shapes) else steps


def is_prompted(config: Config, shapes: Shapes) -> bool:
    """Whether the model follows prompts and voices as PersonaPlex does: config.json says so.

    Or its weights do, for an older PersonaPlex has an empty one: its depformer predicts the user.
    """
    return is_marked_prompted(config) or speaks_for_both(config, shapes)


def speaks_for_both(config: Config, shapes: Shapes) -> bool:
    """Whether the depformer, as published, also predicts the user: so PersonaPlex does.

    Its depformer has a step for every codebook. So has one of a single speaker, which must not be
    halved: where config.json names no kind, two speakers are 16 codebooks of equal delays.
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
    """How many of a tensor's first rows to take; attention's steps lie stacked in one tensor."""
    return rows * steps // _count(shapes, "linears") if _ALL_STEPS.match(name) else rows


def lm_sizes(config: Config, shapes: Shapes) -> dict[str, Any]:
    """What `LMModel` must be told beside config.json: all sizes where that is empty or missing.

    What shapes cannot tell (heads, delays, context) is then as in moshi's own 7B, of which
    PersonaPlex is one.
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
    """The width before gating takes two thirds of it (moshi 0.2.13 gating.py), from 2 x hidden."""
    return -(-3 * (gated_rows // 2) // 2)


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules there are under a name."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for name in shapes if (match := pattern.match(name))})
