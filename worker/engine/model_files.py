"""Where a model's files are: a local folder or a hub repository, of Moshi's kind or PersonaPlex's.

Finds, fetches and names; loads no weights and knows no torch. Blocks while it downloads.
Names where config.json says none: `moshi.models.loaders` (moshi 0.2.13), which are also
those of nvidia/personaplex-7b-v1, whose config.json tells its kind and no more.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub

from protocol.errors import InvalidInput
from worker.engine import pocket

LM_NAME, LORA_NAME = "model.safetensors", "lora.safetensors"
CODEC_NAME = "tokenizer-e351c8d8-checkpoint125.safetensors"
TOKENIZER_NAME = "tokenizer_spm_32k_3.model"
VOICES_NAME, VOICES_FOLDER = "voices.tgz", "voices"
WEIGHTS = ".safetensors"

KINDS = ("moshi", "personaplex")  # of `model_type`; where it is absent the weights tell

CHOICES = (
    "expected pocket, builtin, echo, a hub repository such as kyutai/moshiko-pytorch-bf16 "
    "or nvidia/personaplex-7b-v1, or a folder"
)

Config = Mapping[str, Any]
Progress = Callable[[str], None]
Fetch = Callable[[str], Path | None]  # a file's name → where it lies now, None: there is no such
OfHub = Callable[[str, str], Path | None]  # the same of a repository and a file's name


class MissingFile(InvalidInput):
    """A file that a model needs is not there."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model, all of them on this machine."""

    name: str
    config: Config  # config.json, empty where the model brings none
    lm: Path
    codec: Path
    codec_config: dict[str, Any] | None  # None: Mimi's own
    tokenizer: Path
    lora: Path | None
    voices: Path | None  # an archive or a folder


def find_model(
    model: str, progress: Progress, *, download: bool = True, most_bytes: int | None = None
) -> ModelFiles:
    """Find the files of the folder or repository `model`; missing ones are downloaded if allowed.

    Weights of more than `most_bytes` are not: there is no memory for them.

    Raises `InvalidInput` that names the file and says what to do, `MissingFile` where one is not
    there.
    """
    fetch = _source(model, partial(_download, progress, most_bytes) if download else _cached)
    path = fetch("config.json")
    config = {} if path is None else _read_json(model, path)
    _refuse_other_kinds(model, config)
    codec_config = config.get("mimi_config_name")
    lora = config.get("lora_name") or (LORA_NAME if config.get("lora") else None)
    return ModelFiles(
        name=model,
        config=config,
        lm=_language_model(model, fetch, config),
        codec=_need(model, fetch, config.get("mimi_name", CODEC_NAME)),
        codec_config=_read_json(model, _need(model, fetch, codec_config)) if codec_config else None,
        tokenizer=_need(model, fetch, config.get("tokenizer_name", TOKENIZER_NAME)),
        lora=_need(model, fetch, lora) if lora else None,
        voices=fetch(VOICES_NAME) or fetch(VOICES_FOLDER),
    )


def _source(model: str, of_hub: OfHub) -> Fetch:
    """Where a name of config.json leads: to the model's own files, or as hf://… to a repository.

    Upstream's `hf_get` (moshi 0.2.13 loaders.py) knows both, in folders and in repositories.
    """
    own = _own_files(model, of_hub)

    def fetch(name: str) -> Path | None:
        elsewhere = re.fullmatch(r"hf://([^/]+/[^/]+)/(.+)", name)
        return of_hub(elsewhere[1], elsewhere[2]) if elsewhere else own(name)

    return fetch


def _own_files(model: str, of_hub: OfHub) -> Fetch:
    folder = pocket.FOLDER if model == pocket.NAME else Path(model).expanduser()
    if folder.is_dir():
        return lambda name: folder / name if (folder / name).exists() else None
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model):
        return lambda name: None if name == VOICES_FOLDER else of_hub(model, name)
    if "/" in model or model.startswith((".", "~")):
        raise InvalidInput(f"MODEL={model!r}: there is no such folder; {CHOICES}")
    raise InvalidInput(f"MODEL={model!r}: {CHOICES}")


def _cached(repository: str, name: str) -> Path | None:
    """A file of a hub repository that was fetched before."""
    cached = huggingface_hub.try_to_load_from_cache(repository, name)
    return Path(cached) if isinstance(cached, str) else None


def _download(
    progress: Progress, most_bytes: int | None, repository: str, name: str
) -> Path | None:
    """A file of a hub repository: from the hub's cache, so that a start needs no network."""
    cached = huggingface_hub.try_to_load_from_cache(repository, name)
    if cached is not None:  # a path, or the mark of a file that the repository has not
        return Path(cached) if isinstance(cached, str) else None
    progress(f"{repository}: fetching {name}")
    try:
        if most_bytes is not None and name.endswith(WEIGHTS):
            _refuse_too_large(repository, name, most_bytes)
        return Path(huggingface_hub.hf_hub_download(repository, name))
    except hub.LocalEntryNotFoundError as error:  # it hides what the hub answered, if it did
        answer = error.__cause__
        raise InvalidInput(_refused(repository, name, answer)) from error
    except hub.EntryNotFoundError:
        return None
    except (hub.HfHubHTTPError, OSError) as error:  # no connection is an OSError too
        raise InvalidInput(_refused(repository, name, error)) from error


def _refuse_too_large(repository: str, name: str, most_bytes: int) -> None:
    """Ask for the size of weights first: a device that cannot hold them is no reason to wait."""
    url = huggingface_hub.hf_hub_url(repository, name)
    size = huggingface_hub.get_hf_file_metadata(url).size or 0
    if size > most_bytes:
        raise InvalidInput(
            f"MODEL={repository!r}: {name} has {size / 2**30:.2f} GiB, but "
            f"{most_bytes / 2**30:.2f} GiB is free where it would run, so it was not fetched; "
            "expected a smaller or quantized model, or a larger device"
        )


def _refused(repository: str, name: str, error: BaseException | None) -> str:
    """What to do about a file that the hub does not give."""
    if isinstance(error, hub.RepositoryNotFoundError) and not isinstance(error, hub.GatedRepoError):
        return (
            f"MODEL={repository!r}: the hub has no such repository, or shows it to members only "
            "(then set HF_TOKEN); there is no folder of that name either"
        )
    if isinstance(error, hub.HfHubHTTPError):
        if error.response is not None and error.response.status_code in (401, 403):
            return _gated(repository)
        return f"MODEL={repository!r}: the hub refused {name}: {error}"
    return (
        f"MODEL={repository!r}: {name} is not in the hub's cache and the hub cannot be reached "
        f"({error}); connect to the network, or give a folder that holds the files"
    )


def _gated(repository: str) -> str:
    return (
        f"MODEL={repository!r}: this repository is gated. Sign in at "
        f"https://huggingface.co/{repository}, accept its licence there, "
        "and set HF_TOKEN to a token of that account that may read it"
    )


def _need(model: str, fetch: Fetch, name: str) -> Path:
    path = fetch(name)
    if path is None:
        raise MissingFile(
            f"MODEL={model!r}: {name} is missing; a model is config.json and the files it names, "
            f"by default {LM_NAME}, {CODEC_NAME} and {TOKENIZER_NAME}"
        )
    return path


def _language_model(model: str, fetch: Fetch, config: Config) -> Path:
    """The weights; a fine-tuning's folder often holds its LoRA alone, without what it adapts."""
    name = config.get("moshi_name", LM_NAME)
    path = fetch(name)
    if path is None and config.get("lora"):
        raise MissingFile(
            f"MODEL={model!r}: this LoRA adapts a model that is not here; set "
            f'"moshi_name" in config.json to it, as in "hf://kyutai/moshiko-pytorch-bf16/{LM_NAME}"'
            ' (and "mimi_name" and "tokenizer_name" likewise)'
        )
    return path or _need(model, fetch, name)


def _read_json(model: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except (ValueError, OSError) as error:
        raise InvalidInput(f"MODEL={model!r}: {path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"MODEL={model!r}: {path.name} holds no JSON object")
    return content


def _refuse_other_kinds(model: str, config: Config) -> None:
    kind = config.get("model_type") or KINDS[0]
    if kind not in KINDS:
        raise InvalidInput(
            f"MODEL={model!r}: model_type={kind!r} is no model for conversations; "
            f"expected {' or '.join(map(repr, KINDS))}"
        )
    if config.get("conditioners"):
        raise InvalidInput(
            f"MODEL={model!r}: it wants conditions ({', '.join(config['conditioners'])}) that a "
            "conversation does not give; use a model without conditioners"
        )
