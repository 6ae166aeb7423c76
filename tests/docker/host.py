"""A host as the README makes one: this checkout in a folder, `make keys`, `docker compose up`."""

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import keys
from deploy.private_file import write_privately
from tests.deploy.containers import PROJECT, write_env

BUILT_WITHIN_S = 3600
HEALTHY_WITHIN_S = 300
SETTINGS = {
    "COMPOSE_PROJECT_NAME": "moshi-rooms-test",  # containers and volumes of the test's own
    "COMPOSE_FILE": "docker-compose.yml:docker-compose.cpu.yml",
    "COMPOSE_PROFILES": "second-gpu",
    "DRAIN_GRACE_S": "30",
    "RECORD_DIR": "/recordings",
}
# What builds need on this machine, as behind a company's mirror: from the environment. Without a
# registry all images are local ones, which have no digest, as
# PYTHON_IMAGE=python:3.11.15-slim-bookworm.
MIRRORS = (
    "BUILD_NETWORK",
    "BUILD_CA_FILE",
    "PIP_INDEX_URL",
    "NPM_REGISTRY",
    "PYTHON_IMAGE",
    "NODE_IMAGE",
    "LIVEKIT_IMAGE",
    "CADDY_IMAGE",
    "REDIS_IMAGE",
)


def obstacle() -> str:
    """Return why docker cannot run this, or nothing."""
    if shutil.which("docker") is None:
        return "docker is not on PATH"
    for asked, sentence in {
        ("compose", "version"): "docker has no compose plugin",
        ("info",): "docker's engine does not answer",
    }.items():
        if subprocess.run(["docker", *asked], capture_output=True, check=False).returncode:
            return sentence
    return ""


@dataclass(frozen=True)
class Host:
    """A folder with this checkout and an `.env`, whose containers run."""

    folder: Path
    api_key: str = field(repr=False)

    def compose(self, *arguments: str, within_s: float = HEALTHY_WITHIN_S) -> str:
        """Run `docker compose` in the folder; return what it prints."""
        return self._docker("compose", *arguments, within_s=within_s)

    def update(self) -> None:
        """Run the documented line that starts and updates everything; wait until it is healthy."""
        wait = ("--wait", "--wait-timeout", str(HEALTHY_WITHIN_S))
        self.compose("up", "-d", "--build", *wait, within_s=BUILT_WITHIN_S)

    def set(self, **settings: str) -> None:
        """Change lines of `.env`."""
        text = (self.folder / ".env").read_text()
        for name, value in settings.items():
            text = keys.with_value(text, name, value)
        write_privately(self.folder / ".env", text)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what docker knows of each service's container."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self._docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def image_bytes(self, name: str) -> int:
        """Return the size of an image."""
        return json.loads(self._docker("image", "inspect", name))[0]["Size"]

    def _docker(self, *arguments: str, within_s: float = 60.0) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            cwd=self.folder,
            env={name: os.environ[name] for name in os.environ if name.startswith("DOCKER")}
            | {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-4000:]}"
        return done.stdout


@contextmanager
def started(folder: Path) -> Generator[Host]:
    """Start everything on this machine; remove it at the end, except the built images."""
    for name in subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target)
    api_key = write_env(folder, "localhost")
    host = Host(folder, api_key)
    builds = {name: os.environ[name] for name in MIRRORS if os.environ.get(name)}
    host.set(**SETTINGS, **builds)
    try:
        host.update()
        yield host
    finally:
        host.compose("down", "--volumes", "--remove-orphans")
