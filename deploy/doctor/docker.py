"""Docker, where compose is to run everything: there, running, and able to hand on a GPU."""

import json
import shutil
import subprocess
from pathlib import Path

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.doctor.machine import space

WITHIN_S = 20.0
HOOK = "nvidia-container-runtime-hook"  # what docker hands a GPU on with, beside a runtime
ROOT = Path("/var/lib/docker")
IMAGES_BYTES = 20 << 30  # torch with CUDA (7.3 GB), in the stage that installs it and in the image


def disk(to_fetch_bytes: int) -> Finding:
    """Room for images and weights where docker keeps them."""
    there = next(each for each in (ROOT, *ROOT.parents) if each.is_dir())
    advice = "make room there (docker system df), or move docker's data-root"
    return space(there, ROOT, IMAGES_BYTES + to_fetch_bytes, advice)


def docker() -> list[Finding]:
    """The engine, its compose and NVIDIA's toolkit."""
    if shutil.which("docker") is None:
        advice = "install docker's engine and its compose plugin (docs.docker.com/engine/install)"
        return [fail("docker.missing", "there is no docker on PATH", advice)]
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
        return [fail("docker.away", "docker's engine does not answer to this user", advice)]
    there = ok("docker.ok", f"docker with compose {compose}")
    return [there] if _gives_gpus(told) else [there, _no_gpu()]


def _gives_gpus(runtimes: str) -> bool:
    try:
        return "nvidia" in json.loads(runtimes) or shutil.which(HOOK) is not None
    except (ValueError, TypeError):
        return shutil.which(HOOK) is not None


def _no_gpu() -> Finding:
    advice = "install nvidia-container-toolkit, then: nvidia-ctk runtime configure; restart docker"
    return warn("docker.no_gpu", "docker cannot hand a GPU to the worker", advice)


def _asked(*arguments: str) -> str | None:
    """What docker says; None where it ends with an error."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
