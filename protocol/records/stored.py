"""How records are read that processes of another version wrote: redis outlives all of them. Pure.

A version may add fields, each with a default. It removes none, and gives none another type or
meaning. What a newer version may want to say with an old field is read as something that does no
harm (`known_or`), and what a reader writes back keeps the fields that it does not know (`Stored`).
"""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class Stored(BaseModel):
    """A record that is read, changed and written back: a newer version's fields stay in it."""

    model_config = ConfigDict(frozen=True, extra="allow")


def known_or(harmless: str) -> WrapValidator:
    """Read a word that a newer version has for a field as this `harmless` one."""

    def read(word: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(word)
        except ValidationError:
            if isinstance(word, str):
                return harmless
            raise

    return WrapValidator(read)
