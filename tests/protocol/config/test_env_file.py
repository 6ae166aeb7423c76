"""`.env`: what docker compose and we read alike is taken; the rest is refused with its line."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from protocol.config.env_file import read_env_file
from protocol.config.settings import Settings, load_settings
from protocol.errors import InvalidInput


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's `.env` of the test, not there yet; no other layer."""
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
    """The first setting counts, too, whatever editor wrote the file."""
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
def test_another_encoding_is_told_of_this_file(env_file: Path, raw: bytes, words: str) -> None:
    """`.env` is named, and no other file."""
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
def test_what_compose_reads_differently_is_refused_with_its_line(env_file: Path, line: str) -> None:
    """The line and the name are told, a value never: it may be a secret."""
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
def test_what_both_read_alike_is_taken(env_file: Path, line: str, value: str | None) -> None:
    """The values stand in compose-go's own tests, or follow from its parser."""
    env_file.write_text(f"B=b\n{line}\n")
    read_env_file(env_file)

    assert dotenv_values(env_file).get("A") == value


def test_a_folder_in_its_place_is_told(env_file: Path) -> None:
    """Docker makes one where a file to mount is missing."""
    env_file.mkdir()

    with pytest.raises(InvalidInput, match=r"\.env: Is a directory; expected a file"):
        load_settings()


def test_the_example_can_be_filled_in() -> None:
    """The file that people copy holds nothing that is refused."""
    from protocol.config.settings import PROJECT

    assert read_env_file(PROJECT / ".env.example")
