"""`make keys`: the files that it writes or keeps, and their permissions."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.installers import PROJECT
from deploy.keys import KEYS_FILE, AlreadyThere, value_of, with_value, write_keys
from protocol.config.production import unsafe_settings
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from token_service.auth.api_keys import ApiKeys


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a checkout that has `.env.example` alone."""
    (tmp_path / ".env.example").write_text((PROJECT / ".env.example").read_text())
    return tmp_path


def key_in(lines: list[str]) -> str:
    """Return the API key among the printed lines."""
    [line] = [line for line in lines if line.strip().startswith("mrk_")]
    return line.strip()


def test_the_keys_are_good_for_production(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are accepted in production, and the secret has 64 characters."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    write_keys(project, replace=False)
    settings = Settings(_env_file=project / ".env", production=True)  # type: ignore[call-arg]

    assert [each.area for each in unsafe_settings(settings, serves_people=True)] == ["auth", "tls"]
    assert len(settings.livekit_api_secret.get_secret_value()) == 64


def test_only_the_owner_can_read_the_keys(project: Path) -> None:
    """`.env` gets mode 600, even if it existed with another mode."""
    (project / ".env").write_text("DOMAIN=talk.example\n")
    (project / ".env").chmod(0o644)
    write_keys(project, replace=False)

    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    assert (project / ".env").read_text().startswith("DOMAIN=talk.example\n")


def test_no_key_is_overwritten_silently(project: Path) -> None:
    """Keys that exist are not replaced without `replace`, and the refusal names them."""
    write_keys(project, replace=False)
    before = (project / ".env").read_text()
    with pytest.raises(AlreadyThere, match="holds LIVEKIT_API_KEY and LIVEKIT_API_SECRET already"):
        write_keys(project, replace=False)

    assert (project / ".env").read_text() == before


def test_spaces_hide_no_key(project: Path) -> None:
    """Keys that are written with spaces, as dotenv reads them, are kept, or replaced in place."""
    text = "LIVEKIT_API_KEY = mine\n export LIVEKIT_API_SECRET = of-mine\n"
    (project / ".env").write_text(text)
    with pytest.raises(AlreadyThere, match="holds LIVEKIT_API_KEY and LIVEKIT_API_SECRET already"):
        write_keys(project, replace=False)
    write_keys(project, replace=True)
    replaced = (project / ".env").read_text()

    assert "mine" not in replaced
    assert replaced.startswith("LIVEKIT_API_KEY=rooms-")


def test_a_mark_at_the_beginning_hides_no_key(project: Path) -> None:
    """A byte order mark at the start of `.env` hides no key."""
    (project / ".env").write_bytes(b"\xef\xbb\xbfLIVEKIT_API_KEY=rooms\nMODEL=echo\n")
    with pytest.raises(AlreadyThere, match="holds LIVEKIT_API_KEY already"):
        write_keys(project, replace=False)
    write_keys(project, replace=True)
    text = (project / ".env").read_text()

    assert text.startswith("LIVEKIT_API_KEY=rooms-")
    assert text.count("LIVEKIT_API_KEY=") == 1


def test_an_env_file_that_cannot_be_read_is_told(project: Path) -> None:
    """A `.env` that is not UTF-8 ends the command with status 1 and the file's name."""
    (project / ".env").write_bytes("MODEL=echo\n".encode("utf-16"))
    command = [sys.executable, "-m", "deploy.keys", "--project", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"{project}/.env: is UTF-16; expected UTF-8" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_the_env_file_as_it_is(project: Path) -> None:
    """On a full disk the command ends with one line, and `.env` and the folder are as before."""
    (project / ".env").write_text("MODEL=echo\n")
    before = sorted(path.name for path in project.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "deploy.keys", "--project", str(project)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)),
    )

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "File too large; .env is as it was" in done.stderr
    assert (project / ".env").read_text() == "MODEL=echo\n"
    assert sorted(path.name for path in project.iterdir()) == before


def test_a_second_run_finishes_what_the_first_could_not(project: Path) -> None:
    """Where the folder of API keys could not be written, the next run makes the missing key."""
    (project / "keys").touch()
    with pytest.raises(InvalidInput, match="keys: File exists"):
        write_keys(project, replace=False)
    before = (project / ".env").read_text()
    (project / "keys").unlink()
    lines = write_keys(project, replace=False)

    assert "unchanged" in lines[0] and (project / ".env").read_text() == before
    assert ApiKeys(project / KEYS_FILE).caller(key_in(lines)) is not None
    with pytest.raises(AlreadyThere):
        write_keys(project, replace=False)


def test_keys_are_replaced_when_told_to(project: Path) -> None:
    """With `replace` LiveKit's keys are new and the callers' keys stay."""
    first = key_in(write_keys(project, replace=False))
    before = (project / ".env").read_text()
    lines = write_keys(project, replace=True)
    after = (project / ".env").read_text()

    assert value_of(before, "LIVEKIT_API_SECRET") != value_of(after, "LIVEKIT_API_SECRET")
    assert before.count("\n") == after.count("\n")
    assert first not in "".join(lines)
    assert "unchanged" in lines[-1]


def test_the_printed_api_key_is_the_operators(project: Path) -> None:
    """The printed API key is the operator's, and its file has the key's hash."""
    key = key_in(write_keys(project, replace=False))
    caller = ApiKeys(project / KEYS_FILE).caller(key)

    assert caller is not None
    assert caller.id == "key:operator"
    assert (project / KEYS_FILE).stat().st_mode & 0o777 == 0o644
    assert key.removeprefix("mrk_") not in (project / KEYS_FILE).read_text()


def test_the_command_prints_the_next_step(project: Path) -> None:
    """The command ends with 0 the first time and 1 the second, and never prints the secret."""
    command = [sys.executable, "-m", "deploy.keys", "--project", str(project)]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)
    )
    secret = value_of((project / ".env").read_text(), "LIVEKIT_API_SECRET")

    assert (first.returncode, second.returncode) == (0, 1)
    assert "AUTH_MODE (api_keys, jwt, or open)" in first.stdout
    assert "nothing was changed" in second.stderr
    assert secret not in first.stdout + second.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=2\n", "A=9\nB=2\n"),
        ("# about\n#A=1\nB=2\n", "# about\nA=9\nB=2\n"),
        ("export A=1\n#A=0\n", "A=9\n#A=0\n"),
        ("A=1\nB=2\nA=3\n", "B=2\nA=9\n"),
        ("B=2", "B=2\nA=9\n"),
        ("", "A=9\n"),
    ],
)
def test_a_value_replaces_a_line_or_is_added(text: str, expected: str) -> None:
    """A value replaces the old one, or else the example's line, or else is added at the end."""
    assert with_value(text, "A", "9") == expected
