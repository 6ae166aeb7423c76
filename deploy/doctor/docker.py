"""Docker for compose: installed, running, and able to give a GPU to a container."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from deploy.compose import CPU_FILE, FILE
from deploy.doctor.finding import Finding, State, fail, ok, warn
from deploy.doctor.machine import space

WITHIN_S = 20.0
ON_CPU = f"COMPOSE_FILE={FILE}:{CPU_FILE} in .env"
IMAGE = "moshi-rooms-worker"  # the last that `docker compose build` makes
HOOK = "nvidia-container-runtime-hook"  # gives containers a GPU if no runtime is registered
ROOT = Path("/var/lib/docker")
IMAGES_BYTES = 30 << 30  # torch with CUDA three times: in uv's cache, a build stage and the image


def disk(to_fetch_bytes: int) -> Finding:
    """Check the space for images and weights in docker's folder."""
    root = _data_root()
    there = next(each for each in (root, *root.parents) if each.is_dir())
    advice = "free space there (docker system df), or move docker's data-root"
    found = space(there, root, IMAGES_BYTES + to_fetch_bytes, advice)
    if found.state is State.FAIL and _asked("image", "inspect", IMAGE) is not None:
        built = f"{found.found} where an update brings other packages; the images are built"
        return warn(found.code, built, advice)
    return found


def docker(*, on_gpu: bool = True) -> list[Finding]:
    """Check docker's engine, its compose plugin and, if a GPU is needed, NVIDIA's toolkit."""
    if shutil.which("docker") is None:
        advice = "install docker's engine and its compose plugin (docs.docker.com/engine/install)"
        return [fail("docker.missing", "docker is not on PATH", advice)]
    try:
        compose = _asked("compose", "version", "--short")
        if compose is None:
            advice = "install the package docker-compose-plugin"
            return [fail("docker.no_compose", "docker has no compose plugin", advice)]
        told = _asked("info", "--format", "{{json .Runtimes}}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return [fail("docker.away", f"docker does not answer: {error}", "systemctl restart docker")]
    if told is None:
        advice = "systemctl start docker; and add yourself to the group docker, or use sudo"
        return [fail("docker.away", "docker's engine does not answer, or not to this user", advice)]
    there = ok("docker.ok", f"docker with compose {compose}")
    return [there] if not on_gpu or _gives_gpus(told) else [there, _no_gpu()]


def unused(names: Iterable[str]) -> list[Finding]:
    """Warn of settings in .env that compose does not pass on."""
    if not (listed := ", ".join(names)):
        return []
    found = f"{listed} in .env: no container is told, compose sets its own or none"
    return [warn("settings.unused", found, f"remove it, or pass it on in an override of {FILE}")]


def _gives_gpus(runtimes: str) -> bool:
    try:
        return "nvidia" in json.loads(runtimes) or shutil.which(HOOK) is not None
    except (ValueError, TypeError):
        return shutil.which(HOOK) is not None


def _data_root() -> Path:
    """Return the folder that the engine names; docker's default if no engine answers."""
    try:
        return Path(_asked("info", "--format", "{{.DockerRootDir}}") or ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return ROOT


def _no_gpu() -> Finding:
    advice = (
        "install nvidia-container-toolkit, then: nvidia-ctk runtime configure; restart docker. "
        f"Without a GPU: {ON_CPU}"
    )
    return warn("docker.no_gpu", "docker cannot give a GPU to the worker", advice)


def _asked(*arguments: str) -> str | None:
    """Return docker's output, or `None` if it fails or is not there."""
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
