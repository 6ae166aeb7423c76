"""Variables of the environment in tables of tools."""

import os
from collections.abc import Mapping
from string import Template

from protocol.errors import InvalidInput


def filled_in(variables: Mapping[str, str], field: str) -> dict[str, str]:
    """Replace each `$NAME` by the environment variable of that name.

    Raises `InvalidInput` naming `field` and the variable, never a value.
    """
    filled: dict[str, str] = {}
    for key, value in variables.items():
        try:
            filled[key] = Template(value).substitute(os.environ)
        except KeyError as missing:
            name = missing.args[0]
            raise InvalidInput(f"{field}.{key}: the environment has no {name}") from None
        except ValueError:
            expected = "expected $NAME for a variable, $$ for a dollar sign"
            raise InvalidInput(f"{field}.{key}: {expected}") from None
    return filled
