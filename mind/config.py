"""How minds are set up: the language model's settings, and variables in tables of tools."""

import os
from collections.abc import Mapping
from pathlib import Path
from string import Template

from pydantic import Field, SecretStr

from protocol.config.settings import Settings, WebUrl
from protocol.errors import InvalidInput


class MindSettings(Settings):
    """All settings, and those of minds."""

    mind_url: WebUrl | None = None
    """OpenAI-compatible endpoint of the language model behind personas, as `http://host:11434/v1`."""
    mind_model: str = ""
    """Name of the model there."""
    mind_api_key: SecretStr | None = None
    """Key of that endpoint. Unset: none is needed."""
    mind_calls_per_minute: int = Field(default=20, ge=1, le=1000)
    """Calls of the language model for one room."""
    minds_file: Path | None = None
    """TOML file of named minds, beside those in persona files."""


def filled_in(variables: Mapping[str, str], source: str) -> dict[str, str]:
    """Replace each `$NAME` by the environment variable of that name.

    Raises `InvalidInput` naming `source` and the variable, never a value.
    """
    filled: dict[str, str] = {}
    for key, value in variables.items():
        try:
            filled[key] = Template(value).substitute(os.environ)
        except KeyError as missing:
            name = missing.args[0]
            raise InvalidInput(f"{source}: {key}: the environment has no {name}") from None
        except ValueError:
            expected = "expected $NAME for a variable, $$ for a dollar sign"
            raise InvalidInput(f"{source}: {key}: {expected}") from None
    return filled
