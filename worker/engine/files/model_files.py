"""Find a model's files in a local folder or a hub repository.

Loads no weights. Blocks while files are downloaded. Default names are those of
`moshi.models.loaders` (moshi 0.2.13), which nvidia/personaplex-7b-v1 has too; a training's
folder has those of kyutai-labs/moshi-finetune 2acc879 finetune/checkpointing.py.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from protocol.errors import InvalidInput
from protocol.text import ENCODING
from worker.engine.files import hub_files, other_formats, pocket
from worker.engine.files.hub_files import OfHub, Progress
from worker.engine.files.model_config import MODEL_TYPES, Config, checked
from worker.engine.files.weight_files import what_is_wrong

LM_NAME, LORA_NAME = "model.safetensors", "lora.safetensors"
INDEX_SUFFIX = ".index.json"  # beside weights that lie in several files
TRAINED_NAME = "consolidated.safetensors"  # of a full fine-tuning, or with its LoRA merged in
CODEC_NAME = "tokenizer-e351c8d8-checkpoint125.safetensors"
# The same checkpoint as Kyutai names it beside its models of speech recognition.
RELEASED_CODECS = (CODEC_NAME, "mimi-pytorch-e351c8d8@125.safetensors")
TOKENIZER_NAME = "tokenizer_spm_32k_3.model"
VOICES_NAME, VOICES_FOLDER = "voices.tgz", "voices"
RELEASED = "hf://kyutai/moshiko-pytorch-bf16/"  # whose codec and tokenizer fine-tunings share

CHOICES = (
    "expected pocket, echo, a hub repository such as kyutai/moshiko-pytorch-bf16 "
    "or nvidia/personaplex-7b-v1, or a folder"
)

Fetch = Callable[[str], Path | None]  # a file's name → its path, None: there is none


class MissingFile(InvalidInput):
    """A file that a model needs is missing."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files that together are a model."""

    name: str
    config: Config  # config.json without its nulls, empty where the model brings none
    lm: tuple[Path, ...]  # one file, or the pieces that together are the language model
    codec: Path
    codec_config: dict[str, Any] | None  # None: Mimi's own
    tokenizer: Path
    lora: Path | None
    voices: Path | None  # an archive or a folder

    @property
    def is_codec_released(self) -> bool:
        """Whether the codec is Kyutai's own, which all its models share."""
        return self.codec.name in RELEASED_CODECS and self.codec_config is None


def find_model(
    model: str,
    progress: Progress,
    *,
    download: bool = True,
    most_bytes: int | None = None,
    model_types: tuple[str, ...] = MODEL_TYPES,
) -> ModelFiles:
    """Find the files of the folder or repository `model`; missing ones are downloaded if allowed.

    Weights of more than `most_bytes` are not: there is no memory for them. `model_types`: the
    expected values of `model_type`.

    Raises `InvalidInput` that names the file and says what to do, `MissingFile` where one is not
    there.
    """
    of_hub = partial(hub_files.download, progress, most_bytes) if download else hub_files.cached
    fetch = _source(model, of_hub, model_types)
    path = fetch("config.json")
    config = checked(model, {} if path is None else _read_json(model, path), model_types)
    codec_config = config.get("mimi_config_name")
    lm = _language_model(model, fetch, config, most_bytes)
    return ModelFiles(
        name=model,
        config=config,
        lm=lm,
        codec=_need_shared(model, fetch, "mimi_name", config.get("mimi_name", CODEC_NAME)),
        codec_config=_read_json(model, _need(model, fetch, codec_config)) if codec_config else None,
        tokenizer=_need_shared(
            model, fetch, "tokenizer_name", config.get("tokenizer_name", TOKENIZER_NAME)
        ),
        lora=_lora(model, fetch, config, lm),
        voices=fetch(VOICES_NAME) or fetch(VOICES_FOLDER),
    )


def _source(model: str, of_hub: OfHub, model_types: tuple[str, ...]) -> Fetch:
    """Return how to find a name of config.json: the model's own file, hf:// or file://.

    Upstream's `hf_get` (moshi 0.2.13 loaders.py) knows hf:// and file:// in folders and in
    repositories; here a repository of the hub may not name files of this machine.
    """
    folder = pocket.FOLDER if model == pocket.NAME else Path(model).expanduser()
    own = _own_files(model, folder, of_hub, model_types)

    def fetch(name: str) -> Path | None:
        if name.startswith("hf://"):
            elsewhere = re.fullmatch(r"hf://([^/]+/[^/]+)/(.+)", name)
            if elsewhere is None:
                raise _in_config(model, name, "expected hf://owner/repository/file")
            return of_hub(elsewhere[1], elsewhere[2])
        if name.startswith("file://"):
            return _of_this_machine(model, name, allowed=folder.is_dir())
        return own(name)

    return fetch


def _own_files(model: str, folder: Path, of_hub: OfHub, model_types: tuple[str, ...]) -> Fetch:
    if folder.is_dir():
        return lambda name: folder / name if (folder / name).exists() else None
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model):
        # Refused before anything is fetched. Recognisers for candle have PyTorch's names.
        if model.startswith("kyutai/") and model_types is MODEL_TYPES:
            other_formats.refuse_by_name(model)
        return lambda name: None if name == VOICES_FOLDER else of_hub(model, name)
    if folder.is_file():
        why = what_is_wrong(folder)
        found = f"a file, {why}" if why else "a file"
        raise InvalidInput(f"MODEL={model!r} is {found}; give the folder that it lies in")
    if "/" in model or model.startswith((".", "~")):
        raise InvalidInput(f"MODEL={model!r}: there is no such folder; {CHOICES}")
    raise InvalidInput(f"MODEL={model!r}: {CHOICES}")


def _of_this_machine(model: str, name: str, *, allowed: bool) -> Path | None:
    if not allowed:
        raise _in_config(model, name, "a repository of the hub may not name files of this machine")
    path = Path(name.removeprefix("file://"))
    if not path.is_absolute():
        raise _in_config(model, name, "expected file:// and an absolute path: file:///path/to/file")
    return path if path.exists() else None


def _in_config(model: str, name: str, why: str) -> InvalidInput:
    return InvalidInput(f"MODEL={model!r}: config.json names {name!r}: {why}")


def _need(model: str, fetch: Fetch, name: str) -> Path:
    path = fetch(name)
    if path is None:
        raise MissingFile(
            f"MODEL={model!r}: {name} is missing; a model is config.json and the files it names, "
            f"by default {LM_NAME}, {CODEC_NAME} and {TOKENIZER_NAME}"
        )
    return path


def _need_shared(model: str, fetch: Fetch, key: str, name: str) -> Path:
    """Return a file that a fine-tuning shares with the model that it began with."""
    path = fetch(name)
    if path is None and name in (CODEC_NAME, TOKENIZER_NAME):
        raise MissingFile(
            f'MODEL={model!r}: {name} is missing; put it there, or set "{key}" in config.json to '
            f'the released one, "{RELEASED}{name}"'
        )
    return path or _need(model, fetch, name)


def _language_model(
    model: str, fetch: Fetch, config: Config, most_bytes: int | None
) -> tuple[Path, ...]:
    """Find the weights: one file, pieces with an index, or a training's file."""
    name = config.get("moshi_name", LM_NAME)
    if not name.endswith(INDEX_SUFFIX) and (path := fetch(name)) is not None:
        return (path,)
    index = name if name.endswith(INDEX_SUFFIX) else name + INDEX_SUFFIX
    if (path := fetch(index)) is not None:
        return _pieces(model, fetch, path, most_bytes)
    if (path := fetch(TRAINED_NAME)) is not None:
        return (path,)
    if config.get("lora"):
        raise MissingFile(
            f"MODEL={model!r}: this LoRA adapts a model that is not here; set "
            f'"moshi_name" in config.json to it, as in "{RELEASED}{LM_NAME}"'
            ' (and "mimi_name" and "tokenizer_name" likewise)'
        )
    other_formats.refuse_by_name(model)
    other_formats.refuse_by_files(model)
    return (_need(model, fetch, name),)


def _pieces(model: str, fetch: Fetch, index: Path, most_bytes: int | None) -> tuple[Path, ...]:
    """Return the files that an index names, as transformers and huggingface_hub write one."""
    content = _read_json(model, index)
    places = content.get("weight_map")
    if not isinstance(places, dict) or not all(_is_plain(each) for each in places.values()):
        raise InvalidInput(
            f"MODEL={model!r}: {index.name}: expected 'weight_map', from a tensor's name to a file "
            "beside it"
        )
    about = content.get("metadata")
    whole = about.get("total_size") if isinstance(about, dict) else None
    names = sorted(set(places.values()))
    if most_bytes is not None and isinstance(whole, int) and whole > most_bytes:
        raise hub_files.too_large(model, f"{len(names)} files of {index.name}", whole, most_bytes)
    return tuple(_need(model, fetch, name) for name in names)


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..")


def _lora(model: str, fetch: Fetch, config: Config, lm: tuple[Path, ...]) -> Path | None:
    """Find the LoRA; a training that merged it in leaves none, although config.json has lora."""
    name = config.get("lora_name") or (LORA_NAME if config.get("lora") else None)
    if name is None:
        return None
    merged = "lora_name" not in config and [path.name for path in lm] == [TRAINED_NAME]
    return fetch(name) if merged else _need(model, fetch, name)


def _read_json(model: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding=ENCODING) or "{}")
    except (ValueError, OSError, RecursionError) as error:
        why = what_is_wrong(path) or f"not JSON: {error}"
        raise InvalidInput(f"MODEL={model!r}: {path.name}: {why}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"MODEL={model!r}: {path.name} holds no JSON object")
    return content
