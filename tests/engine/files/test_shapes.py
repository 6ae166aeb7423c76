"""What tensors' names and shapes tell: a model's sizes, and which tensors are the agent's."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moshi.models import loaders
from safetensors.numpy import save_file

from protocol.errors import InvalidInput
from tests.engine import folders
from worker.engine.files.shapes import agent_steps, is_prompted, lm_sizes, rows_taken, takes
from worker.engine.files.weight_files import read_shapes
from worker.engine.files.weights import Unfilled


def shapes_of(**sizes: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a model as it is released."""
    tensors = folders.released(folders.random_lm(**sizes))
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("linears.7.weight", True),
        ("linears.8.weight", False),
        ("depformer_in.7.weight", True),
        ("depformer_in.8.weight", False),
        ("depformer_emb.6.weight", True),
        ("depformer_emb.7.weight", False),
        ("depformer.layers.5.gating.7.linear_in.weight", True),
        ("depformer.layers.5.gating.8.linear_out.weight", False),
        ("depformer.layers.0.self_attn.in_projs.8.weight", False),
        ("depformer.layers.0.norm1.alpha", True),
        ("depformer_text_emb.weight", True),
        ("transformer.layers.8.gating.linear_in.weight", True),
        ("emb.15.weight", True),
    ],
)
def test_eight_steps_are_the_first_eight(name: str, taken: bool) -> None:
    """Of 16 steps, 0 to 7 are kept, with the embeddings between them and all other tensors."""
    assert takes(name, 8) is taken


def test_stacked_attention_gives_its_first_half() -> None:
    """Of the depformer's stacked attention the first half is kept, of all else everything."""
    shapes = shapes_of(dep_q=16)

    name = "depformer.layers.0.self_attn.in_proj_weight"
    assert rows_taken(name, shapes[name][0], 8, shapes) == shapes[name][0] // 2
    assert rows_taken("depformer.layers.1.self_attn.out_proj.weight", 512, 8, shapes) == 256
    assert rows_taken("transformer.layers.0.self_attn.in_proj_weight", 192, 8, shapes) == 192
    assert rows_taken("text_linear.weight", 100, 8, shapes) == 100


def test_half_of_16_depformer_steps_are_the_agents() -> None:
    """PersonaPlex's 16 steps and Moshi's 8 both give 8 steps of the agent."""
    assert agent_steps({}, shapes_of(dep_q=16)) == 8
    assert agent_steps({}, shapes_of(dep_q=8)) == 8


@pytest.mark.parametrize(
    ("config", "steps", "prompted"),
    [
        ({}, 8, False),
        ({"model_type": "moshi"}, 8, False),
        ({}, 16, True),
        ({"model_type": "personaplex"}, 8, True),
        ({"model_type": "moshi", "model_id": {"prompted": True}}, 8, True),
    ],
)
def test_a_model_is_prompted_if_its_config_or_its_weights_say_so(
    config: dict[str, Any], steps: int, prompted: bool
) -> None:
    """A model reads prompts by its type, its 16 steps or its `prompted` field; Moshi does not."""
    assert is_prompted(config, shapes_of(dep_q=steps)) is prompted


def test_sizes_are_those_that_made_the_weights() -> None:
    """The sizes that are read from shapes are those with which the model was made."""
    made_with = folders.lm_kwargs()

    sizes = lm_sizes({}, shapes_of())

    assert sizes == {name: made_with[name] for name in sizes}
    assert len(sizes) == 10


def published(**sizes: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a published 7B, made without its weights."""
    with Unfilled():
        lm = loaders.get_moshi_lm(
            None, None, device=torch.device("meta"), lm_kwargs_overrides=sizes
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in lm.state_dict().items():
        stacked = re.sub(r"in_projs\.\d+\.weight", "in_proj_weight", name)
        stacked = re.sub(r"out_projs\.\d+", "out_proj", stacked)
        rows = shapes.get(stacked, (0,))[0] + tensor.shape[0]
        shapes[stacked] = (rows, *tensor.shape[1:])
    return shapes


def test_the_published_personaplex_is_a_moshi_once_it_is_cut() -> None:
    """At full size the sizes of PersonaPlex are Moshi's, and so are the shapes after the cut."""
    personaplex, moshi = published(dep_q=16), published()

    sizes = lm_sizes({}, personaplex)
    cut = {
        name: (rows_taken(name, rows, 8, personaplex), *rest)
        for name, (rows, *rest) in personaplex.items()
        if takes(name, 8)
    }

    assert sizes == {name: loaders._lm_kwargs[name] for name in sizes}
    assert cut == moshi


def test_sizes_in_config_json_come_before_shapes() -> None:
    """If config.json gives sizes, shapes only give the number of the agent's steps."""
    assert lm_sizes({"dim": 64}, shapes_of()) == {"dep_q": 8}


def test_weights_without_a_text_embedding_are_refused() -> None:
    """Weights that are no Moshi are refused with the tensor that is missing."""
    with pytest.raises(InvalidInput, match=r"no tensor 'text_emb.weight': not a Moshi"):
        lm_sizes({}, {"bert.weight": (1, 2)})


def test_shapes_are_read_from_the_header(tmp_path: Path) -> None:
    """Names and shapes are read as they were written."""
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float16)}, tmp_path / "x")

    assert read_shapes(tmp_path / "x") == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize("left", [0, 7, 60, 150])
def test_a_file_cut_short_is_refused(tmp_path: Path, left: int) -> None:
    """A file cut short at any place is refused by its name."""
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((20, 3), np.float32)}, path)
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(InvalidInput, match=r"model.safetensors: not a whole safetensors file"):
        read_shapes(path)
