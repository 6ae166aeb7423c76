"""Reads which personas a request asks for. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from protocol.errors import InvalidInput, explain, kind_of
from protocol.personas import LABEL_LIMIT, PERSONAS_PER_ROOM, Catalogue, Persona, check_mind


def personas_asked_for(metadata: str, catalogue: Catalogue, default: str) -> tuple[Persona, ...]:
    """Read the JSON metadata of a dispatch request: `{"persona": …}` or `{"personas": […]}`.

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
    if "personas" not in fields:
        return (read_persona(fields.get("persona", default), catalogue, "metadata.persona"),)
    wanted = fields["personas"]
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= PERSONAS_PER_ROOM:
        got = f"{len(wanted)} personas" if isinstance(wanted, list) else kind_of(wanted)
        raise InvalidInput(
            f"metadata.personas: got {got}; expected a list of 1 to {PERSONAS_PER_ROOM}"
        )
    return chosen_personas(wanted, catalogue, "metadata.personas")


def chosen_personas(
    wanted: Sequence[object], catalogue: Catalogue, field: str = "personas"
) -> tuple[Persona, ...]:
    """Read a list of personas. Raises `InvalidInput` that names the place in the list."""
    return tuple(
        read_persona(each, catalogue, f"{field}.{place}") for place, each in enumerate(wanted)
    )


def _json_object(metadata: str) -> dict[str, Any]:
    if not metadata.strip():
        return {}
    try:
        fields = json.loads(metadata)
    except (ValueError, RecursionError) as error:  # ValueError: a number of over 4300 digits
        raise InvalidInput(f"metadata: not JSON ({error}); expected an object") from error
    if not isinstance(fields, dict):
        raise InvalidInput(f"metadata: got {kind_of(fields)}; expected an object")
    return fields


def read_persona(wanted: object, catalogue: Catalogue, field: str = "persona") -> Persona:
    """Read one persona. Raises `InvalidInput` that begins with `field`.

    It is a name of the catalogue, or an object; if its `name` is one of the catalogue, its other
    fields override that persona's.
    """
    fields = {"name": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(fields, dict):
        expected = "expected a name or an object with a name"
        raise InvalidInput(f"{field}: got {json.dumps(wanted):.80}; {expected}")
    name = fields.get("name")
    known = catalogue.get(name) if isinstance(name, str) else None
    if known is None and fields.keys() == {"name"}:
        choices = ", ".join(sorted(catalogue))
        raise InvalidInput(f"{field}: {name!r:.80} is unknown; choices: {choices}")
    label = str(name).replace("_", " ").capitalize()[:LABEL_LIMIT]
    base = known.model_dump(exclude={"examples"}) if known else {"label": label}
    try:
        persona = Persona.model_validate(base | fields)
    except ValidationError as error:
        why = explain(error, fields=[each for each in Persona.model_fields if each != "examples"])
        raise InvalidInput(f"{field}: {why}") from error
    check_mind(persona, catalogue, field)
    return persona
