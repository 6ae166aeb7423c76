"""Personas: one TOML file each in `personas/`, or an object in a request.

Reads no file but in `load_catalogue`. The worker, and not this module, knows which voices exist.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from protocol.errors import InvalidInput, explain
from protocol.minds import NAME, MindName, minds_in
from protocol.sampling import Sampling
from protocol.text import Clean, CleanLine, Matching
from protocol.toml_file import read_toml

PROMPT_LIMIT = 1000  # characters; PersonaPlex's own limit (NVIDIA/personaplex 3428dfd server.py)
LABEL_LIMIT = 120  # characters of a label or a line
PERSONAS_PER_ROOM = 14
EXAMPLES_LIMIT = 5  # questions that the page shows for a persona

Name = Annotated[
    str,
    Matching(
        NAME,
        "a lowercase letter, then up to 31 lowercase letters, digits and _, as customer_service",
    ),
]
VOICE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
VOICE_SUFFIXES = (".pt", ".wav")


def _without_suffix(voice: object) -> object:
    """Accept a voice's file name, as NVIDIA/personaplex has it, for the voice's name."""
    for suffix in VOICE_SUFFIXES:
        if isinstance(voice, str) and voice.endswith(suffix):
            return voice.removesuffix(suffix)
    return voice


VoiceName = Annotated[
    str,
    Matching(
        VOICE_NAME,
        "a voice's name or its file's: up to 64 letters, digits, - and _, as NATF2 or NATF2.pt; "
        "the choices are those of GET /voices, and default",
    ),
    BeforeValidator(_without_suffix),
]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LABEL_LIMIT),
    CleanLine,
]
GREETING = "Hello, how can I help you?"  # where a persona asks for one and writes none: `true`


def _greeting(asked: object) -> object:
    """Turn `true` into the usual greeting and `false` into none."""
    return {True: GREETING, False: ""}[asked] if isinstance(asked, bool) else asked


# The line that a persona says first, at its first pause; empty: it waits for the person.
Greeting = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LABEL_LIMIT),
    CleanLine,
    BeforeValidator(_greeting, json_schema_input_type=str | bool),
]
Prompt = Annotated[str, StringConstraints(strip_whitespace=True, max_length=PROMPT_LIMIT), Clean]


class Persona(BaseModel):
    """One AI participant: its name, label, voice, prompt, sampling and mind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    label: Label
    line: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=LABEL_LIMIT), CleanLine
    ] = ""
    voice: VoiceName = "default"
    prompt: Prompt = ""
    greeting: Greeting = ""
    sampling: Sampling = Sampling()
    mind: MindName = ""  # the name of the persona whose file defines it; empty: none
    examples: tuple[Label, ...] = Field(default=(), max_length=EXAMPLES_LIMIT)  # to ask; page only


Catalogue = Mapping[str, Persona]  # by name


def load_catalogue(folder: Path, model: str = "") -> dict[str, Persona]:
    """Read every `*.toml` of a folder; the file's stem is the persona's name.

    Where `model` is given, personas have only minds that suit it. Raises `InvalidInput` naming
    the file and the field.
    """
    if not folder.is_dir():
        raise InvalidInput(f"PERSONAS_DIR={str(folder)!r} is not a folder")
    catalogue: dict[str, Persona] = {}
    files = {path: read_toml(path, path.name) for path in sorted(folder.glob("*.toml"))}
    minds = minds_in(files)
    for path, fields in files.items():
        persona = _persona(path, fields)
        if persona.mind == path.stem not in minds:
            expected = "expected a table [mind], or the name of another persona"
            raise InvalidInput(f"{path.name}: mind={persona.mind!r} is its own name; {expected}")
        if persona.mind in minds and not minds[persona.mind].suits(model):
            persona = persona.model_copy(update={"mind": ""})
        catalogue[path.stem] = persona
    if not catalogue:
        raise InvalidInput(f"PERSONAS_DIR={str(folder)!r} holds no persona (expected *.toml files)")
    for persona in catalogue.values():
        check_mind(persona, catalogue, f"{persona.name}.toml")
    return catalogue


def read_persona(path: Path) -> Persona:
    """Read a persona's file, without its mind. Raises `InvalidInput` naming file and field."""
    return _persona(path, read_toml(path, path.name))


def _persona(path: Path, fields: dict[str, Any]) -> Persona:
    if isinstance(fields.get("mind"), dict):
        fields = fields | {"mind": path.stem}
    try:
        return Persona(name=path.stem, **fields)
    except ValidationError as error:
        fields_of_files = [each for each in Persona.model_fields if each != "name"]
        # The refusal goes to the log, which holds no prompt.
        why = explain(error, secret=("prompt",), fields=fields_of_files)
        raise InvalidInput(f"{path.name}: {why}") from error
    except TypeError as error:
        raise InvalidInput(f"{path.name}: 'name' is the file's own name, leave it out") from error


def check_mind(persona: Persona, catalogue: Catalogue, source: str) -> None:
    """Raise `InvalidInput` that names `source` for a mind that no file of the catalogue defines."""
    defined = [each.name for each in catalogue.values() if each.mind == each.name]
    if persona.mind and persona.mind not in defined:
        choices = ", ".join(defined) or "none"
        raise InvalidInput(f"{source}: mind={persona.mind!r} is unknown; choices: {choices}")
