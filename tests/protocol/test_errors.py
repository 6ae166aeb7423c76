"""How refused input is explained: in the words of JSON."""

from typing import Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)

from protocol.errors import explain


class Dish(BaseModel):
    """A body of an API."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    spices: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)


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
        (str, "5", "=5: expected a text, got a number"),
        (StrictBool, '"yes"', "='yes': expected true or false, got a text"),
        (StrictInt, "1.5", "=1.5: expected a whole number, got a number with a decimal point"),
        (StrictInt, "true", "=True: expected a whole number, got true or false"),
        (StrictFloat, '"x"', "='x': expected a number, got a text"),
    ],
)
def test_a_wrong_kind_is_named_as_in_json(kind: Any, given: str, expected: str, read: str) -> None:
    """A value of a wrong kind is refused in JSON's words: list, text, number and so on."""
    adapter = TypeAdapter[Any](kind)
    value = given if read == "validate_json" else TypeAdapter[Any](Any).validate_json(given)
    with pytest.raises(ValidationError) as caught:
        getattr(adapter, read)(value)

    assert explain(caught.value) == f"input{expected}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nmae": "x"}, "nmae='x': no such field; choices: name, spices"),
        ({"spices": []}, "spices=[]: expected at least 1 item, got 0"),
        ({"spices": [1, 2, 3]}, "spices=[1, 2, 3]: expected at most 2 items, got 3"),
        (
            {"spices": ["x"]},
            "spices.0='x': Input should be a valid integer, unable to parse string",
        ),
    ],
)
def test_a_fault_is_told_once_in_the_words_of_json(given: object, said: str) -> None:
    """An unknown field has the choices, a list its limit; a faulty item is no missing one."""
    with pytest.raises(ValidationError) as caught:
        Dish.model_validate(given)

    assert explain(caught.value, fields=Dish.model_fields).startswith(said)
    assert ";" not in explain(caught.value)
