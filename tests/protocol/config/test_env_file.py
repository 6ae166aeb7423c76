"""`.env`: lines that docker compose and we read alike are accepted, others refused by line."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from protocol.config.env_file import read_env_file
from protocol.config.settings import Settings, load_settings
from protocol.errors import InvalidInput


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the test's own `.env`, not there yet; remove every other layer."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setitem(Settings.model_config, "toml_file", tmp_path / "settings.toml")
    return tmp_path / ".env"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_marks_and_line_endings_of_other_systems_are_read(
    env_file: Path, mark: bytes, ending: str
) -> None:
    """A byte order mark and either line ending leave every setting readable."""
    env_file.write_bytes(mark + ending.join(["MODEL=echo", "PORT=9090", ""]).encode())
    settings = load_settings()

    assert (settings.model, settings.port) == ("echo", 9090)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("MODEL=echo\n".encode("utf-16"), ": is UTF-16; expected UTF-8"),
        ("MODEL=echo\n".encode("utf-16-le"), ": holds zero bytes, as UTF-16 does; expected UTF-8"),
        (b"MODEL=echo\nPERSONAS_DIR=caf\xe9\n", ", line 2: expected UTF-8"),
    ],
)
def test_another_encoding_is_refused(env_file: Path, raw: bytes, words: str) -> None:
    """A `.env` that is not UTF-8 is refused with its path and, where known, the line."""
    env_file.write_bytes(raw)
    with pytest.raises(InvalidInput) as caught:
        load_settings()

    assert str(caught.value).startswith(f"{env_file}{words}")


@pytest.mark.parametrize(
    "line",
    [
        "A=pa$word",
        "A=$NAME",
        'A="pa$word"',
        'A="pa\\$word"',
        "A=pa$$word",
        "A='pa${word}'",
        "A=${NAME-other}",
        "A=${NAME:?missing}",
        'A="a\\tb"',
        "A='a\\\\b'",
        "A= # nothing",
        "A=x\t# comment",
        "A:value",
        "A: value",
        "A B=1",
        "A='never ends",
    ],
)
def test_a_line_that_compose_reads_differently_is_refused(env_file: Path, line: str) -> None:
    """A line that compose reads differently is refused with its number, without its value."""
    env_file.write_text(f"# first\n\nMODEL=echo\n{line}\n")
    with pytest.raises(InvalidInput) as caught:
        load_settings()

    assert str(caught.value).startswith(f"{env_file}, line 4: ")
    assert not {"word", "never", "value\n"} & set(str(caught.value).split("expected")[0].split())


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A=with#hash", "with#hash"),
        ("A=x # comment", "x"),
        ("A='pa$word'", "pa$word"),
        ('A="two words"', "two words"),
        ("A=${B}/x", "b/x"),
        ("A=${NOWHERE:-there}", "there"),
        ("export A=x", "x"),
        ("A=a\\b", "a\\b"),
        ("A=", ""),
        ("A = spaced", "spaced"),
        ("#A=1", None),
        ("A", None),
    ],
)
def test_a_line_that_compose_reads_alike_is_read(
    env_file: Path, line: str, value: str | None
) -> None:
    """A line that compose and we read alike gives the value that compose-go gives."""
    env_file.write_text(f"B=b\n{line}\n")
    read_env_file(env_file)

    assert dotenv_values(env_file).get("A") == value


def test_a_folder_in_its_place_is_refused(env_file: Path) -> None:
    """A folder in place of `.env`, as docker makes one, is refused as a folder."""
    env_file.mkdir()

    with pytest.raises(InvalidInput, match=r"\.env: Is a directory; expected a file"):
        load_settings()


def test_the_example_is_accepted() -> None:
    """`.env.example` has no line that is refused."""
    from protocol.config.settings import PROJECT

    assert read_env_file(PROJECT / ".env.example")
