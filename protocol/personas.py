"""Personas: who speaks. One TOML file each in `personas/`, or an object in a request.

Pure but for `load_catalogue`, which reads a folder.
Knows no model: whether a voice exists is asked of the worker.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from protocol.errors import InvalidInput, explain
from protocol.patterns import Matching
from protocol.sampling import Sampling
from protocol.text import Clean, CleanLine

PROMPT_LIMIT = 1000  # characters; PersonaPlex's own limit (NVIDIA/personaplex 3428dfd server.py)
PERSONAS_PER_ROOM = 14

Name = Annotated[
    str,
    Matching(
        r"[a-z][a-z0-9_]{0,31}",
        "a lowercase letter, then up to 31 lowercase letters, digits and _, as customer_service",
    ),
]
VOICE_SUFFIXES = (".pt", ".wav")


def _without_suffix(voice: object) -> object:
    """Take a voice's file name, as NVIDIA/personaplex asks for it, for the voice's name."""
    for suffix in VOICE_SUFFIXES:
        if isinstance(voice, str) and voice.endswith(suffix):
            return voice.removesuffix(suffix)
    return voice


VoiceName = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        "a voice's name or its file's: up to 64 letters, digits, - and _, as NATF2 or NATF2.pt; "
        "the choices are those of GET /voices, and default",
    ),
    BeforeValidator(_without_suffix),
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), CleanLine
]


class Persona(BaseModel):
    """One AI participant as it was asked for: name, face, voice, prompt, sampling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    label: Line
    line: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120), CleanLine] = ""
    voice: VoiceName = "default"
    prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=PROMPT_LIMIT), Clean
    ] = ""
    greeting: bool = False
    sampling: Sampling = Sampling()


Catalogue = Mapping[str, Persona]


def load_catalogue(folder: Path) -> dict[str, Persona]:
    """Read every `*.toml` of a folder, by name; the file's stem is the persona's name.

    Raises `InvalidInput` naming the file and the field.
    """
    if not folder.is_dir():
        raise InvalidInput(f"PERSONAS_DIR={str(folder)!r} is not a folder")
    catalogue: dict[str, Persona] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
            catalogue[path.stem] = Persona(name=path.stem, **fields)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path.name}: not TOML: {error}") from error
        except ValidationError as error:
            raise InvalidInput(f"{path.name}: {explain(error)}") from error
        except TypeError as error:
            raise InvalidInput(
                f"{path.name}: 'name' is the file's own name, leave it out"
            ) from error
    if not catalogue:
        raise InvalidInput(f"PERSONAS_DIR={str(folder)!r} holds no persona (expected *.toml files)")
    return catalogue


def personas_asked_for(metadata: str, catalogue: Catalogue, default: str) -> tuple[Persona, ...]:
    """Read the JSON metadata of a dispatch request: `{"persona": …}` or `{"personas": […]}`.

    Each is a catalogue name, or an object whose `name` may be one (its other fields then override).
    Empty metadata means the default persona. Raises `InvalidInput` naming field, value and choices.
    """
    fields = _json_object(metadata)
    unknown = fields.keys() - {"persona", "personas"}
    if unknown:
        raise InvalidInput(
            f"metadata: unknown field {sorted(unknown)[0]!r}; expected 'persona' or 'personas'"
        )
    if len(fields) == 2:
        raise InvalidInput("metadata: give 'persona' or 'personas', not both")
    wanted = fields.get("personas", [fields.get("persona", default)])
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= PERSONAS_PER_ROOM:
        raise InvalidInput(
            f"metadata.personas: expected a list of 1 to {PERSONAS_PER_ROOM} personas"
        )
    return chosen_personas(wanted, catalogue)


def chosen_personas(wanted: Sequence[object], catalogue: Catalogue) -> tuple[Persona, ...]:
    """Read names and objects as `personas_asked_for` does. Raises `InvalidInput`."""
    return tuple(_one_persona(each, catalogue) for each in wanted)


def _json_object(metadata: str) -> dict[str, Any]:
    if not metadata.strip():
        return {}
    try:
        fields = json.loads(metadata)
    except (ValueError, RecursionError) as error:  # ValueError: a number of over 4300 digits
        raise InvalidInput(f"metadata: not JSON ({error}); expected an object") from error
    if not isinstance(fields, dict):
        raise InvalidInput(f"metadata: got {type(fields).__name__}; expected a JSON object")
    return fields


def _one_persona(wanted: object, catalogue: Catalogue) -> Persona:
    fields = {"name": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(fields, dict):
        raise InvalidInput(f"persona: got {wanted!r:.80}; expected a name or an object with a name")
    name = fields.get("name")
    known = catalogue.get(name) if isinstance(name, str) else None
    if known is None and len(fields) == 1:
        raise InvalidInput(f"persona: {name!r:.80} is unknown; choices: {_choices(catalogue)}")
    base = (
        known.model_dump() if known else {"label": str(name).replace("_", " ").capitalize()[:120]}
    )
    try:
        return Persona.model_validate(base | fields)
    except ValidationError as error:
        raise InvalidInput(f"persona: {explain(error)}") from error


def _choices(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
