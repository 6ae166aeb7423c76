"""How refused input is explained: in the words of JSON."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocol.errors import explain


class Dish(BaseModel):
    """A body of an API."""

    name: str = ""


@pytest.mark.parametrize("read", ["validate_python", "validate_json"])
@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (tuple[str, ...], '"chef"', "='chef': expected a list, got a text"),
        (list[str], "5", "=5: expected a list, got a number"),
        (frozenset[str], '{"a": 1}', "={'a': 1}: expected a list, got an object"),
        (dict[str, str], "true", "=True: expected an object, got true or false"),
        (Dish, "[1]", "=[1]: expected an object, got a list"),
        (Dish, "null", "=None: expected an object, got null"),
    ],
)
def test_a_wrong_kind_is_named_as_in_json(kind: Any, given: str, expected: str, read: str) -> None:
    """A value of a wrong kind is refused in JSON's words: list, object, text, number, null."""
    adapter = TypeAdapter[Any](kind)
    value = given if read == "validate_json" else TypeAdapter[Any](Any).validate_json(given)
    with pytest.raises(ValidationError) as caught:
        getattr(adapter, read)(value)

    assert explain(caught.value) == f"input{expected}"
