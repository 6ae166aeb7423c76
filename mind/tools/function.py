"""A function that a language model may call, whatever stands behind it. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

SAY, LEAVE = "say", "leave_to_voice"  # the mind's own functions
DESCRIPTION_LIMIT = 1000  # characters; a server's own text


class ToolFailed(Exception):
    """A function gave no result; the text is for the language model."""


@dataclass(frozen=True, slots=True)
class Function:
    """Name, description and JSON schema for the model; `call` gives the result as text.

    `call` raises `ToolFailed`.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    within_s: float
    call: Callable[[Mapping[str, Any]], Awaitable[str]]

    def described(self) -> dict[str, Any]:
        """Describe the function as OpenAI's API wants it."""
        return described(self.name, self.description, self.parameters)


def described(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a function as OpenAI's API wants it."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}
