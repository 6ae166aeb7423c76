"""config.json without its sizes: the model's own sampling, and models that cannot run."""

from typing import Any

import pytest

from protocol.errors import InvalidInput
from protocol.sampling import Sampling, UsualSampling
from worker.engine.files.model_config import checked, is_marked_prompted, usual_sampling

# What Kyutai's config.json says (kyutai/moshiko-pytorch-bf16), in another order of magnitude.
WARMER = {"temp": 1.1, "temp_text": 0.5, "top_k": 100, "top_k_text": 10}


def test_config_json_sets_the_models_sampling() -> None:
    """Audio and text each have their own temperature and number of candidates."""
    usual, lines = usual_sampling("m", {"lm_gen_config": WARMER})

    assert usual == UsualSampling(
        audio_temperature=1.1, text_temperature=0.5, audio_top_k=100, text_top_k=10
    )
    assert lines == []


@pytest.mark.parametrize("config", [{}, {"lm_gen_config": {}}])
def test_without_sampling_in_config_json_upstreams_defaults_hold(config: dict[str, Any]) -> None:
    """A config.json without lm_gen_config means the defaults of moshi 0.2.13's `LMGen`."""
    assert usual_sampling("m", config)[0] == UsualSampling(
        audio_temperature=0.8, text_temperature=0.7, audio_top_k=250, text_top_k=25
    )


def test_a_personas_sampling_goes_over_the_models_field_by_field() -> None:
    """Fields that a persona sets hold, 0 included; the others are the model's."""
    usual, _ = usual_sampling("m", {"lm_gen_config": WARMER})

    assert Sampling(seed=5).over(usual) == usual
    assert Sampling(text_temperature=0.0, audio_top_k=7).over(usual) == UsualSampling(
        audio_temperature=1.1, text_temperature=0.0, audio_top_k=7, text_top_k=10
    )


def test_use_sampling_false_means_temperature_0() -> None:
    """A model whose config.json has `use_sampling` false is greedy."""
    usual, _ = usual_sampling("m", {"lm_gen_config": WARMER | {"use_sampling": False}})

    assert (usual.audio_temperature, usual.text_temperature) == (0.0, 0.0)


def test_more_candidates_than_a_step_reads_are_capped_and_reported() -> None:
    """A top_k beyond the most, or 0 for all, is set to the most with a line of progress."""
    usual, lines = usual_sampling("m", {"lm_gen_config": {"top_k": 0, "top_k_text": 500}})

    assert (usual.audio_top_k, usual.text_top_k) == (256, 128)
    assert lines == [
        "config.json asks for top_k=0; at most 256 are looked at",
        "config.json asks for top_k_text=500; at most 128 are looked at",
    ]


SIZES = {"dim": 64, "depformer_pos_emb": "none"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lm_gen_config": {"cfg_coef": 2.0}}, r"lm_gen_config\.cfg_coef=2\.0: guidance needs"),
        ({"lm_gen_config": {"warmth": 1}}, r"lm_gen_config\.warmth is unknown; expected temp, "),
        ({"lm_gen_config": {"temp": -1}}, r"lm_gen_config: audio_temperature=-1"),
        ({"lm_gen_config": {"temp": "hot"}}, r"lm_gen_config: audio_temperature='hot'"),
        ({"lm_gen_config": {"top_k": -3}}, r"lm_gen_config: audio_top_k=-3"),
        ({"lm_gen_config": [1]}, r"lm_gen_config=\[1\]: expected an object"),
        ({"dim": 64}, r"depformer_pos_emb='sin' \(moshi's own default\).*expected 'none'"),
        ({"dim": 64, "depformer_pos_emb": None}, r"depformer_pos_emb=None.*expected 'none'"),
        ({"dim": 64, "depformer_pos_emb": "rope"}, r"depformer_pos_emb='rope'.*expected 'none'"),
        (SIZES | {"depformer_kv_repeat": 2}, r"depformer_kv_repeat=2: .*expected 1"),
        (SIZES | {"kv_repeat": 2}, r"kv_repeat=2: .*expected 1"),
        ({"moshi_name": 5}, r"moshi_name=5: expected a file's name"),
        ({"tokenizer_name": ["a"]}, r"tokenizer_name=\['a'\]: expected a file's name"),
        ({"model_type": 1}, r"model_type=1: expected a name"),
        ({"lora": "yes"}, r"lora='yes': expected true or false"),
        ({"lora": True, "lora_rank": "8"}, r"lora_rank='8': expected a number"),
        ({"lora": True, "lora_rank": True}, r"lora_rank=True: expected a number"),
        ({"lora": True, "lora_rank": 0}, r"lora_rank=0: expected a number of 1 or more"),
        ({"lora": False, "lora_name": "a"}, r"lora=false, but lora_name='a': set lora to true"),
        ({"lora": True, "quantize": True}, r"a LoRA cannot adapt 8-bit weights"),
        ({"conditioners": ["a"]}, r"conditioners=\['a'\]: expected an object"),
    ],
)
def test_a_wrong_field_of_config_json_is_refused(config: dict[str, Any], message: str) -> None:
    """The sentence names model, field, value and what was expected."""
    with pytest.raises(InvalidInput, match=r"MODEL='m': config\.json: " + message):
        checked("m", config)


@pytest.mark.parametrize("about", [None, "abc123", {"sig": "abc"}, ["a"]])
def test_a_model_id_may_be_anything(about: object) -> None:
    """A `model_id` of any type does not mark a model as prompted, and is accepted."""
    assert not is_marked_prompted(checked("m", {"model_id": about}))


def test_null_means_that_a_name_is_not_set() -> None:
    """A name that is null is left out; a size that may be null stays null."""
    config = {"moshi_name": None, "lora_name": None, "layer_scale": None, "model_id": None}

    assert checked("m", config) == {"layer_scale": None}
