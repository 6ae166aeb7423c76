"""The command that makes a key, and what is kept of it; the audit log."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from protocol.errors import InvalidInput
from protocol.settings import Settings
from tests.token_service.players import beat
from tests.token_service.strangers import app
from token_service.audit import Audit
from token_service.callers import Caller, Scope
from token_service.keys import KeyRing, make_key, read_keys


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "token_service.keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_the_command_makes_a_key(tmp_path: Path) -> None:
    """The key is shown once and opens; the file, which nobody else can read, holds its hash."""
    path = tmp_path / "keys.toml"
    key = make("shop", "--scopes", "talk,observe", "--file", str(path)).stdout.strip()
    text = path.read_text()

    assert await KeyRing(path).caller(key) == Caller("key:shop", frozenset({"talk", "observe"}))
    assert key.rpartition("_")[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--scopes", "rule"], "'rule' is not a valid Scope; choices: talk, manage"),
        (["a b"], "name='a b': "),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], said: str) -> None:
    """One line, no traceback, and no file."""
    done = make(*arguments, "--file", str(tmp_path / "keys.toml"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("token_service.keys: ") and said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_keys_have_two_salts() -> None:
    """Nothing that is kept tells that two are alike."""
    (_, one), (_, two) = (make_key("shop", frozenset(Scope)) for _ in range(2))

    assert one.salt != two.salt and one.hash != two.hash


@pytest.mark.parametrize("text", ["nonsense", "[[keys]]\nid = 'x'\n", "colour = 1\n"])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    """The refusal names the setting and shows no value."""
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"^API_KEYS_FILE"):
        read_keys(path)


async def test_who_minted_what_is_written_down(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """One line for each token and change, with caller, address, room, identity; never the token."""
    path = tmp_path / "audit.jsonl"
    await beat(redis)
    watched = settings.model_copy(update={"audit_log": path, "auth_mode": ("open",)})
    async with app(watched) as http:
        minted = (await http.post("/token", json={"room_name": "kitchen"})).json()
        asked = {"identity": "ann", "personas": [{"name": "chef", "prompt": "The recipe."}]}
        opened = (await http.post("/sessions", json=asked)).json()
        at = f"/sessions/{opened['id']}"
        await http.post(f"{at}/say", json={"text": "Hello world."})
        guest = (await http.post(f"{at}/guests")).json()
        await http.delete(f"{at}/guests/{guest['id']}")
        await http.delete(f"{at}/tokens/{opened['token_id']}")
        await http.delete(at)
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert [line["action"] for line in lines] == [
        "token_minted",
        "session_opened",
        "persona_say",
        "guest_invited",
        "guest_uninvited",
        "token_revoked",
        "session_ended",
    ]
    assert {(line["caller"], line["address"]) for line in lines} == {("anyone", "203.0.113.7")}
    assert (lines[1]["identity"], lines[1]["token_id"]) == ("ann", opened["token_id"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in (
        minted["participant_token"],
        opened["participant_token"],
        guest["bearer"],
        "The recipe.",
        "Hello world.",
    ):
        assert secret not in text


def test_an_audit_log_may_be_moved_away(tmp_path: Path) -> None:
    """Who rotates logs needs not stop the service."""
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.write("one", Caller("x"))
    path.rename(tmp_path / "old")
    audit.write("two", Caller("x"))
    audit.close()

    assert json.loads(path.read_text())["action"] == "two"


def test_an_audit_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The service does not start without the log that it was told to keep."""
    with pytest.raises(InvalidInput, match=r"^AUDIT_LOG="):
        Audit(tmp_path / "nowhere" / "audit.jsonl")
