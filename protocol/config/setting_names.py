"""Names that are near a setting's. The standard library alone: make asks before it installs."""

import os
import re
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"  # it has every setting
# Names that are no settings: of docker compose and `make run`, and one of every Linux.
OTHER_NAMES = """
BUILD_CA_FILE BUILD_NETWORK CADDY_IMAGE COMPOSE_FILE COMPOSE_PROFILES DOMAIN GRAFANA_IMAGE
GRAFANA_PASSWORD HTTPS_PORT JAEGER_IMAGE LANGUAGE LIVEKIT_IMAGE LIVEKIT_PORT LIVEKIT_REDIS
METRICS_KEY NODE_IMAGE NODE_IP NPM_REGISTRY PIP_INDEX_URL PROMETHEUS_IMAGE PYTHON_IMAGE
REDIS_IMAGE REDIS_PORT WORKER_MEMORY
"""
NEAR = 0.84  # LIVEKIT_KEY is near LIVEKIT_API_KEY, and LIVEKIT_KEYS, which LiveKit reads, is not


def meant_by(name: str, settings: Collection[str]) -> str:
    """Return the name that another one seems to misspell; empty for none."""
    given, known = name.upper(), sorted({*OTHER_NAMES.split(), *map(str.upper, settings)})
    if given in known or given.startswith("OTEL_"):
        return ""
    swapped = [each for each in known if sorted(each) == sorted(given)]
    return "".join([*swapped, *get_close_matches(given, known, 1, NEAR)][:1])


def misspelt(where: str, names: Collection[str], settings: Collection[str]) -> str:
    """Return the refusal of the first name that misspells a setting's; empty for none."""
    for name in names:
        if meant := meant_by(name, settings):
            return f"{where}: {name} is no setting; did you mean {meant}?"
    return ""


def given_to_make(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables on make's command line."""
    return re.findall(r"(?<!\S)(\w+)=", environment.get("MAKEFLAGS", ""))


def main() -> str | None:
    """Return the refusal of a misspelt name on make's command line."""
    settings = re.findall(r"^#([A-Z0-9_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    refusal = misspelt("make", given_to_make(os.environ), settings)
    return f"==> {refusal}" if refusal else None


if __name__ == "__main__":
    sys.exit(main())
