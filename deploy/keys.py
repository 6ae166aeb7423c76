"""`make keys`: write LiveKit's key and secret into `.env`, and a first API key for callers.

Overwrites existing keys only with `--replace`. `.env` gets mode 600; the stored part of
an API key is a hash of 256 random bits, which the container's user may read too.
"""

import argparse
import re
import sys
from pathlib import Path

from deploy.installers import PROJECT
from deploy.livekit_config import LIVEKIT_NAMES, livekit_keys
from deploy.private_file import write_privately
from protocol.config.env_file import read_env_file
from protocol.errors import InvalidInput
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope

KEYS_FILE = "keys/callers.toml"  # below the project; docker-compose.yml mounts the folder
ASSIGNED = r"^[ \t]*(?:export[ \t]+)?{name}[ \t]*=(.*)$"  # as python-dotenv reads a line
READABLE_FOR_ALL, ENTERABLE_FOR_ALL = 0o644, 0o755


class AlreadyThere(RuntimeError):
    """The file has keys, and replacing them was not requested."""


def value_of(text: str, name: str) -> str:
    """Return a setting of an environment file, or an empty string."""
    found = re.findall(ASSIGNED.format(name=name), text, re.MULTILINE)
    return found[-1].strip().strip("'\"") if found else ""


def with_value(text: str, name: str, value: str) -> str:
    """Return the file's text with a setting: in its old place, else in the example's, else last."""
    line = f"{name}={value}"
    for pattern in (ASSIGNED.format(name=name), rf"^#{name}=.*$"):
        found = re.findall(pattern, text, re.MULTILINE)
        if found:  # readers take the last one, so it stays
            if older := len(found) - 1:
                text = re.sub(rf"{pattern}\n", "", text, count=older, flags=re.MULTILINE)
            return re.sub(pattern, line, text, count=1, flags=re.MULTILINE)
    return f"{text.rstrip()}\n{line}\n".lstrip()


def write_keys(project: Path, *, replace: bool) -> list[str]:
    """Write missing keys; return sentences about them.

    Raises `AlreadyThere`, and `InvalidInput` for a `.env` that cannot be read.
    """
    path = project / ".env"
    text = read_env_file(path if path.exists() else project / ".env.example")
    held = [name for name in LIVEKIT_NAMES if value_of(text, name)]
    has_caller = value_of(text, "API_KEYS_FILE") != KEYS_FILE or (project / KEYS_FILE).exists()
    if (
        len(held) == len(LIVEKIT_NAMES) and not replace and not has_caller
    ):  # an earlier run broke off
        return [f"{path}: {' and '.join(held)} unchanged", *_first_caller(project)]
    if held and not replace:
        raise AlreadyThere(
            f"{path} holds {' and '.join(held)} already; nothing was changed. "
            "`make keys REPLACE=yes` makes new ones and ends all tokens and guest links"
        )
    for name, value in livekit_keys().items():
        text = with_value(text, name, value)
    if not value_of(text, "API_KEYS_FILE"):
        text = with_value(text, "API_KEYS_FILE", KEYS_FILE)
    write_privately(path, text)
    return [f"{path} (mode 600): new {' and '.join(LIVEKIT_NAMES)}", *_first_caller(project)]


def _first_caller(project: Path) -> list[str]:
    """Make an API key for the operator if there is no file of keys."""
    path = project / KEYS_FILE
    if path.exists():
        return [f"{path}: unchanged; `python -m token_service.keys NAME` adds one"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(ENTERABLE_FOR_ALL)
    except OSError as error:
        raise InvalidInput(f"{path.parent}: {error.strerror}; .env has its keys") from error
    key, stored = make_key("operator", frozenset(Scope))
    add_key(path, stored)
    path.chmod(READABLE_FOR_ALL)
    return [f"{path}: an API key, shown only now; the file has its hash:", f"    {key}"]


def main() -> int:
    """Write the keys and print the next step; return the exit status."""
    parser = argparse.ArgumentParser(prog="make keys", description=main.__doc__)
    parser.add_argument("--replace", action="store_true", help="make new keys over old ones")
    parser.add_argument("--project", type=Path, default=PROJECT, help="where .env is")
    given = parser.parse_args()
    try:
        lines = write_keys(given.project, replace=given.replace)
    except (AlreadyThere, InvalidInput) as error:
        print(f"==> {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or given.project
        print(f"==> {where}: {error.strerror}; .env is as it was", file=sys.stderr)
        return 1
    lines += ["Next: set DOMAIN, MODEL and AUTH_MODE (api_keys, jwt, or open) in .env"]
    print("\n".join(f"==> {line}" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
