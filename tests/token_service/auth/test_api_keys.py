"""The command that makes an API key, and what the file keeps of the key."""

import resource
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from protocol.errors import InvalidInput
from token_service.auth.api_keys import ApiKeys, read_keys
from token_service.auth.callers import Caller


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "token_service.keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_makes_a_key(tmp_path: Path) -> None:
    """The command shows a key once; the file, which its owner alone can read, has its hash."""
    path = tmp_path / "keys.toml"
    key = make("shop", "--scopes", "talk,observe", "--file", str(path)).stdout.strip()
    text = path.read_text()

    assert ApiKeys(path).caller(key) == Caller("key:shop", frozenset({"talk", "observe"}))
    assert key.removeprefix("mrk_") not in text
    assert set(tomllib.loads(text)["keys"][0]) == {"name", "scopes", "hash"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--scopes", "rule"], "--scopes='rule': choices, with commas: talk, manage"),
        (["shop", "--scopes", ""], "--scopes='': choices, with commas: talk, manage"),
        (["a b"], "name='a b': "),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], said: str) -> None:
    """Wrong arguments end the command with one line on stderr, and no file is written."""
    done = make(*arguments, "--file", str(tmp_path / "keys.toml"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("token_service.keys: ") and said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_added_to_a_file_without_a_last_line_end(tmp_path: Path) -> None:
    """A file that a person edited, and that ends in the middle of a line, keeps its keys."""
    path = tmp_path / "keys.toml"
    first = make("shop", "--file", str(path)).stdout.strip()
    path.write_text(path.read_text().rstrip())
    second = make("bakery", "--file", str(path)).stdout.strip()

    assert [ApiKeys(path).caller(key) is not None for key in (first, second)] == [True, True]


@pytest.mark.parametrize(("text", "said"), [("keys = []\n", "not TOML"), (None, "Is a directory")])
def test_a_file_that_takes_no_key_stays_as_it_is(
    tmp_path: Path, text: str | None, said: str
) -> None:
    """A key that would make its file unusable is refused in one line, and nothing is written."""
    path = tmp_path / "keys.toml"
    path.mkdir() if text is None else path.write_text(text)
    done = make("shop", "--file", str(path))

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert said in done.stderr
    assert text is None or path.read_text() == text


@pytest.mark.parametrize("text", ["nonsense", "[[keys]]\nid = 'x'\n", "colour = 1\n"])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    """An unusable file of keys is refused with a message that names API_KEYS_FILE."""
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"^API_KEYS_FILE"):
        read_keys(path)


def test_a_file_with_a_byte_order_mark_keeps_its_keys(tmp_path: Path) -> None:
    """A file that an editor saved with a byte order mark is read, and takes further keys."""
    path = tmp_path / "keys.toml"
    first = make("shop", "--file", str(path)).stdout.strip()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    second = make("bakery", "--file", str(path)).stdout.strip()

    assert [ApiKeys(path).caller(key) is not None for key in (first, second)] == [True, True]


def test_a_full_disk_leaves_the_keys_as_they_are(tmp_path: Path) -> None:
    """A key that the disk takes half of is refused, and the keys from before stay valid."""
    path = tmp_path / "keys.toml"
    first = make("shop", "--file", str(path)).stdout.strip()
    before = path.read_text()
    limit = len(before) + 20
    done = subprocess.run(
        [sys.executable, "-m", "token_service.keys", "bakery", "--file", str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"token_service.keys: API_KEYS_FILE={str(path)!r}: File too large\n"
    assert path.read_text() == before
    assert ApiKeys(path).caller(first) is not None
