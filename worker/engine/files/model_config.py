"""Check a model's config.json: file names, model type, sampling.

Pure. Refuses models that would load and compute nonsense: this engine has no depformer with
positions, no guidance, no conditions. Names are those of moshi 0.2.13 loaders.py
`CheckpointInfo`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from protocol.errors import InvalidInput, explain
from protocol.sampling import MOST_AUDIO_TOP_K, MOST_TEXT_TOP_K, UsualSampling

Config = Mapping[str, Any]

MODEL_TYPES = ("moshi", "personaplex")  # of `model_type`; without it the weights decide
RECOGNISERS = ("stt",)  # models of speech recognition (moshi 0.2.13 run_inference.py)
FILE_NAMES = ("moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lora_name")
# Types of values, and their description in messages. null counts as absent.
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **{name: ((str,), "a file's name") for name in FILE_NAMES},
    "model_type": ((str,), "a name"),
    "lora": ((bool,), "true or false"),
    "lora_rank": ((int,), "a number of 1 or more"),
    "lora_scaling": ((int, float), "a number"),
    "quantize": ((bool,), "true or false"),
    "conditioners": ((dict,), "an object"),
    "lm_gen_config": ((dict,), "an object"),
}
# moshi 0.2.13 lm.py `LMGen.__init__` → ours
OUR_NAMES = {
    "temp": "audio_temperature",
    "temp_text": "text_temperature",
    "top_k": "audio_top_k",
    "top_k_text": "text_top_k",
}
MOST_TOP_K = {"top_k": MOST_AUDIO_TOP_K, "top_k_text": MOST_TEXT_TOP_K}
# What `LMGen` also takes: its own checks, and what only guidance uses.
WITHOUT_EFFECT = ("check", "support_out_of_sync", "cfg_is_masked_until", "cfg_is_no_text")


def checked(model: str, config: Config, model_types: tuple[str, ...] = MODEL_TYPES) -> Config:
    """Return a model's config.json without its nulls; raise `InvalidInput` for one that cannot run.

    `model_types`: the expected values of `model_type`; its absence means the first of
    `MODEL_TYPES`.
    """
    config = {name: value for name, value in config.items() if value is not None or _a_size(name)}
    for name, (types, expected) in TYPES.items():
        value = config.get(name)
        right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if name in config and not right:
            raise _refused(model, f"{name}={value!r:.80}: expected {expected}")
    _refuse_other_types(model, config, model_types)
    _refuse_unclear_lora(model, config)
    if model_types is MODEL_TYPES:  # recognisers have no depformer
        _refuse_positions(model, config)
    usual_sampling(model, config)
    return config


def _a_size(name: str) -> bool:
    """Whether null is a value that `LMModel` may be given, as `layer_scale` is."""
    return name not in TYPES and name not in ("model_id", "tts_config", "stt_config", "fuser")


def is_marked_prompted(config: Config) -> bool:
    """Whether config.json itself says that the model follows prompts, as PersonaPlex does."""
    about = config.get("model_id")  # upstream takes anything here
    marked = isinstance(about, Mapping) and bool(about.get("prompted"))
    return config.get("model_type") == "personaplex" or marked


def usual_sampling(model: str, config: Config) -> tuple[UsualSampling, list[str]]:
    """Return the model's own sampling, and lines for people where it had to be changed."""
    asked = dict(config.get("lm_gen_config") or {})
    for name in WITHOUT_EFFECT:
        asked.pop(name, None)
    if (guidance := asked.pop("cfg_coef", 1)) != 1:
        raise _refused(
            model,
            f"lm_gen_config.cfg_coef={guidance!r:.80}: guidance needs a model with conditions, "
            "which a conversation does not give; expected 1",
        )
    is_greedy = asked.pop("use_sampling", True) is False
    if unknown := sorted(asked.keys() - OUR_NAMES.keys()):
        raise _refused(
            model, f"lm_gen_config.{unknown[0]} is unknown; expected {', '.join(OUR_NAMES)}"
        )
    lines: list[str] = []
    for name, most in MOST_TOP_K.items():
        wanted = asked.get(name)
        if isinstance(wanted, int) and (wanted == 0 or wanted > most):  # 0: no limit (sampling.py)
            asked[name] = most
            lines.append(f"config.json asks for {name}={wanted}; at most {most} are looked at")
    if is_greedy:
        asked |= {"temp": 0.0, "temp_text": 0.0}
    try:
        usual = UsualSampling.model_validate(
            {OUR_NAMES[name]: value for name, value in asked.items()}
        )
    except ValidationError as error:
        raise _refused(model, f"lm_gen_config: {explain(error)}") from error
    return usual, lines


def _refuse_other_types(model: str, config: Config, model_types: tuple[str, ...]) -> None:
    kind = config.get("model_type") or MODEL_TYPES[0]
    if kind not in model_types:
        purpose = "conversations" if model_types is MODEL_TYPES else "speech recognition"
        raise InvalidInput(
            f"MODEL={model!r}: model_type={kind!r} is no model for {purpose}; "
            f"expected {' or '.join(map(repr, model_types))}"
        )
    if conditions := config.get("conditioners"):
        raise InvalidInput(
            f"MODEL={model!r}: it wants conditions ({', '.join(conditions)}) that a "
            "conversation does not give; use a model without conditioners"
        )


def _refuse_unclear_lora(model: str, config: Config) -> None:
    if config.get("lora") is False and "lora_name" in config:
        raise _refused(
            model,
            f"lora=false, but lora_name={config['lora_name']!r}: set lora to true to adapt the "
            "model with it, or take lora_name away",
        )
    if (config.get("lora") or "lora_name" in config) and config.get("quantize"):
        raise _refused(model, "a LoRA cannot adapt 8-bit weights; use the model in bf16")
    if config.get("lora_rank", 1) < 1:
        raise _refused(model, f"lora_rank={config['lora_rank']}: expected a number of 1 or more")


def _refuse_positions(model: str, config: Config) -> None:
    """Refuse a depformer that this engine would compute wrongly."""
    if "dim" not in config:
        return  # the sizes are those of moshi's own 7B
    positions = config.get("depformer_pos_emb", "sin")
    if positions != "none":
        given = "" if "depformer_pos_emb" in config else " (moshi's own default)"
        raise _refused(
            model,
            f"depformer_pos_emb={positions!r}{given}: this engine computes a depformer without "
            "positions, as all of Kyutai's and NVIDIA's models have it; expected 'none'",
        )
    for name in ("kv_repeat", "depformer_kv_repeat"):
        if config.get(name, 1) != 1:
            raise _refused(
                model,
                f"{name}={config[name]!r}: heads that share keys are not computed; expected 1",
            )


def _refused(model: str, why: str) -> InvalidInput:
    return InvalidInput(f"MODEL={model!r}: config.json: {why}")
