"""Minds in persona files: which tables are read, and which are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from protocol.minds import (
    ChatMind,
    HttpFunction,
    LinesMind,
    McpTools,
    load_minds,
    read_mind,
)
from protocol.personas import load_catalogue

LINES = '[mind]\nkind = "lines"\n[[mind.lines]]\nwhen = ["hi|hello"]\nsay = ["Hello."]\n'
WEATHER = {"name": "weather", "http": "http://127.0.0.1:1/w", "description": "The weather."}


def test_a_persona_file_defines_a_mind_of_its_name(tmp_path: Path) -> None:
    """A file's table `[mind]` defines a mind of the file's name."""
    (tmp_path / "chef.toml").write_text(f'label = "Chef"\n{LINES}')
    (tmp_path / "guide.toml").write_text('label = "Guide"\nmind = "chef"\n')
    minds = load_minds([tmp_path / "chef.toml", tmp_path / "guide.toml"])
    assert {name: mind.kind for name, mind in minds.items()} == {"chef": "lines"}


def test_a_persona_has_its_own_mind_or_one_that_it_names(tmp_path: Path) -> None:
    """A persona has the mind of its own file or the one that it names, or none."""
    (tmp_path / "chef.toml").write_text(f'label = "Chef"\n{LINES}')
    (tmp_path / "guide.toml").write_text('label = "Guide"\nmind = "chef"\n')
    (tmp_path / "plain.toml").write_text('label = "Plain"\n')
    minds = {name: persona.mind for name, persona in load_catalogue(tmp_path).items()}
    assert minds == {"chef": "chef", "guide": "chef", "plain": ""}


def test_a_mind_may_be_for_one_model(tmp_path: Path) -> None:
    """A mind with `model` is read for that model, and for no model, and not for another."""
    (tmp_path / "chef.toml").write_text(
        f'label = "Chef"\n{LINES}'.replace("[mind]", '[mind]\nmodel = "pocket"')
    )
    minds = {model: load_catalogue(tmp_path, model)["chef"].mind for model in ("", "pocket", "x")}

    assert minds == {"": "chef", "pocket": "chef", "x": ""}
    assert [*load_minds([tmp_path / "chef.toml"], "pocket")] == ["chef"]
    assert not load_minds([tmp_path / "chef.toml"], "x")


def test_a_recogniser_is_told_what_people_may_say() -> None:
    """A recogniser is told the first pattern of each line, without alternatives and gaps."""
    mind = read_mind(
        {
            "kind": "lines",
            "lines": [
                {"when": ["what is|'s * your name", "who are you"], "say": ["Kim."]},
                {"when": ["I am tired|sleepy"], "say": ["Sleep."]},
            ],
        },
        "test",
    )

    assert isinstance(mind, LinesMind)
    assert mind.likely == ("What is your name?", "I am tired.")


@pytest.mark.parametrize(
    ("mind", "refusal"),
    [
        ('mind = "plain"', r"chef\.toml: mind='plain' is unknown; choices: none"),
        ('[mind]\nkind = "chat"\napi_key = "sk-secret"', r"chef\.toml: mind: .*api_key"),
    ],
)
def test_a_catalogue_refuses_a_mind_that_it_cannot_use(
    tmp_path: Path, mind: str, refusal: str
) -> None:
    """A catalogue refuses an unknown or wrong mind, and shows no value of its table."""
    (tmp_path / "chef.toml").write_text(f'label = "Chef"\n{mind}\n')
    (tmp_path / "plain.toml").write_text('label = "Plain"\n')
    with pytest.raises(InvalidInput, match=refusal) as refused:
        load_catalogue(tmp_path)
    assert "sk-secret" not in str(refused.value)


def test_tools_are_told_apart_by_their_fields() -> None:
    """A table with `mcp` is an MCP server, and one with `http` is a function."""
    tools = [{"mcp": "https://x.example/mcp"}, {"mcp": ["python", "-m", "x"]}, WEATHER]
    mind = read_mind({"kind": "chat", "tools": tools}, "test")
    assert isinstance(mind, ChatMind)
    assert [type(tool) for tool in mind.tools] == [McpTools, McpTools, HttpFunction]


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "none"},
        {"kind": "lines", "lines": []},
        {"kind": "lines", "lines": [{"when": ["hi"]}]},
        {"kind": "lines", "lines": [{"when": ["hi"], "say": ["a"], "repeat": True}]},
        {"kind": "lines", "lines": [{"when": ["*"], "say": ["a"]}]},
        {"kind": "lines", "lines": [{"when": ["(a+)+$"], "say": ["a"]}]},
        {"kind": "chat", "tools": [{"mcp": "file:///etc/passwd"}]},
        {"kind": "chat", "tools": [{"mcp": []}]},
        {"kind": "chat", "tools": [{"mcp": ["x"], "headers": {"A": "b"}}]},
        {"kind": "chat", "tools": [{"mcp": "http://x", "env": {"A": "b"}}]},
        {"kind": "chat", "tools": [{"http": "http://x", "name": "a b", "description": "x"}]},
        {"kind": "chat", "tools": [WEATHER | {"within_s": 0}]},
        {"kind": "chat", "api_key": "sk-secret"},
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, Any]) -> None:
    """A wrong table is refused with its source, without its values."""
    with pytest.raises(InvalidInput, match=r"^chef\.toml: ") as refusal:
        read_mind(table, "chef.toml")
    assert "sk-secret" not in str(refusal.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kind", "lines", "tools", "mcp", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_table_is_read_or_refused(table: Any) -> None:
    """Any table is read, or is refused with InvalidInput."""
    try:
        mind = read_mind(table, "test")
    except InvalidInput:
        return
    assert json.loads(mind.model_dump_json())["kind"] == mind.kind


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "lnes"}, 'input: expected kind = "lines" or kind = "chat"'),
        ({}, 'input: expected kind = "lines" or kind = "chat"'),
        (
            {"kind": "chat", "tools": [{"url": "http://x"}]},
            "tools.0: expected either `mcp`, an address or a command, or `http`",
        ),
        (
            {"kind": "chat", "tools": [WEATHER | {"nme": "x"}]},
            "tools.0.nme: no such field",
        ),
        (
            {"kind": "chat", "tools": [{"mcp": "http://x", "env": {"A": "b"}}]},
            "tools.0: `env` is for a command; a server with an address has `headers`",
        ),
    ],
)
def test_a_wrong_table_is_told_in_the_files_words(table: dict[str, Any], said: str) -> None:
    """A refusal has one sentence, by the file's own names, for each fault."""
    with pytest.raises(InvalidInput) as caught:
        read_mind(table, "chef.toml: mind")
    assert str(caught.value) == f"chef.toml: mind: {said}"
