"""Add an API key to the file of `API_KEYS_FILE`: `python -m token_service.keys NAME`."""

import argparse
import sys
from pathlib import Path

from protocol.config.settings import load_settings
from protocol.errors import InvalidInput
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope


def main() -> None:
    """Make an API key, add its hash to the file, and show the key once."""
    parser = argparse.ArgumentParser(prog="python -m token_service.keys", description=main.__doc__)
    parser.add_argument("name", help="the caller's name; keys with the same name are one caller")
    parser.add_argument("--scopes", default="talk,manage,observe", help="default: %(default)s")
    parser.add_argument("--file", type=Path, help="default: API_KEYS_FILE")
    options = parser.parse_args()
    try:
        path = options.file or load_settings().api_keys_file
        if path is None:
            raise InvalidInput("API_KEYS_FILE is not set; give a file with --file")
        key, stored = make_key(options.name, _scopes(options.scopes))
        add_key(path, stored)
    except InvalidInput as error:
        sys.exit(f"token_service.keys: {error}")
    sys.stderr.write(f"Added to {path}. The key is shown only now:\n")
    sys.stdout.write(f"{key}\n")


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(part.strip()) for part in text.split(","))
    except ValueError as error:
        known = ", ".join(Scope)
        raise InvalidInput(f"--scopes={text!r}: choices, with commas: {known}") from error


if __name__ == "__main__":
    main()
