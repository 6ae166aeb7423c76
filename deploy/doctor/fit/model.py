"""The model that `MODEL` names: complete, to be downloaded, or missing."""

from dataclasses import dataclass, field
from pathlib import Path

import huggingface_hub

from deploy.doctor.finding import Finding, fail, ok
from deploy.doctor.fit import hub
from deploy.doctor.fit.sizes import KNOWN, ModelSizes, sizes_of
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from worker.engine.files import pocket
from worker.engine.files.model_files import MissingFile, ModelFiles, find_model
from worker.engine.files.other_formats import refuse_by_tensors
from worker.engine.files.weight_files import read_shapes


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The findings about a model, and its sizes."""

    findings: list[Finding] = field(default_factory=list[Finding])
    sizes: ModelSizes | None = None  # None: unknown, or it needs little memory
    to_fetch_bytes: int = 0
    folder: Path | None = None  # where files of the hub go


def model(settings: Settings, *, on_gpu: bool) -> ModelCheck:
    """Check the model's files without loading weights."""
    name = settings.model
    if name == "echo":
        return ModelCheck([ok("model.echo", "echo: repeats what it hears; nothing to load")])
    try:
        if name == pocket.NAME or Path(name).expanduser().is_dir():
            return _folder(find_model(name, _silent), settings, on_gpu=on_gpu)
        if not _names_repository(name):
            find_model(name, _silent)  # raises an error about the name
        return _repository(name, settings, on_gpu=on_gpu)
    except InvalidInput as error:
        advice = "give a complete folder or another MODEL; restart a download that was interrupted"
        return ModelCheck([fail("model.incomplete", str(error), advice)])


def _folder(files: ModelFiles, settings: Settings, *, on_gpu: bool) -> ModelCheck:
    shapes = read_shapes(*files.lm)
    refuse_by_tensors(files.name, shapes)
    read_shapes(files.codec)
    sizes = sizes_of(files, shapes, value_bytes=2 if on_gpu else 4)
    sizes = sizes.with_voices(files.voices, settings.voices_dir)
    found = f"{files.name}: whole and readable, {len(shapes)} tensors"
    return ModelCheck([ok("model.folder", found)], sizes.at_context(settings.context))


def _repository(name: str, settings: Settings, *, on_gpu: bool) -> ModelCheck:
    if (files := _in_cache(name)) is not None:
        try:
            return _folder(files, settings, on_gpu=on_gpu)
        except InvalidInput as error:
            advice = "fetch it again: hf download --force-download " + name
            return ModelCheck([fail("model.damaged", str(error), advice)])
    seen, sizes = hub.repository(name, settings), KNOWN.get(name)
    if sizes is not None:
        sizes = sizes.with_voices(None, settings.voices_dir).at_context(settings.context)
    return ModelCheck(
        seen.findings,
        sizes,
        seen.to_fetch_bytes,
        Path(huggingface_hub.constants.HF_HUB_CACHE),
    )


def _in_cache(name: str) -> ModelFiles | None:
    """Return the files of a repository if all are in the cache."""
    try:
        return find_model(name, _silent, download=False)
    except MissingFile:
        return None


def _names_repository(name: str) -> bool:
    owner, _, repository = name.partition("/")
    return bool(owner and repository) and owner[0] not in "./~" and "/" not in repository


def _silent(_: str) -> None:
    """Discard a line of progress: the doctor prints only findings."""
