"""The GPUs that nvidia-smi lists: card, driver, memory. Importing torch would take seconds."""

import shutil
import subprocess
from dataclasses import dataclass

from deploy.doctor.finding import Finding, fail, ok, warn

QUERY = "name,driver_version,memory.total,memory.free"
MIB = 1 << 20
# For every CUDA 12 of torch's wheels (NVIDIA, CUDA Compatibility, minor version compatibility).
OLDEST_DRIVER = (525, 60, 13)
IN_USE_SHARE = 0.1  # a desktop takes less


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU."""

    name: str
    driver: str
    total_bytes: int
    free_bytes: int

    def __str__(self) -> str:
        free, total = (count / (1 << 30) for count in (self.free_bytes, self.total_bytes))
        return f"{self.name}, driver {self.driver}, {free:.1f} of {total:.1f} GiB free"


def gpu(device: str, on_cpu: str = "DEVICE=cpu") -> tuple[list[Finding], Card | None]:
    """Check the GPUs; also return the first card, which the worker uses.

    `on_cpu` is the setting that does without a GPU.
    """
    if device == "cpu":
        return [ok("gpu.off", "DEVICE=cpu: no GPU is needed")], None
    program = shutil.which("nvidia-smi")
    if program is None:
        return [_none(device, on_cpu)], None
    command = [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        cards = [_card(line) for line in done.stdout.splitlines() if line.strip()]
    except subprocess.CalledProcessError as error:
        said = (error.stdout or error.stderr).strip() or f"exit status {error.returncode}"
        advice = (
            "repair the driver (often: reboot after an update); in a container, reserve the GPU"
        )
        return [fail("gpu.driver_broken", f"nvidia-smi: {said}", advice)], None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        advice = f"see what fails: `{' '.join(command)}`"
        return [fail("gpu.unclear", f"nvidia-smi gave no list: {error}", advice)], None
    return ([_none(device, on_cpu)], None) if not cards else (_told(cards), cards[0])


def _told(cards: list[Card]) -> list[Finding]:
    first = cards[0]
    others = f"; {len(cards) - 1} more, a worker each: CUDA_VISIBLE_DEVICES" if cards[1:] else ""
    if _version(first.driver) < OLDEST_DRIVER:
        oldest = ".".join(map(str, OLDEST_DRIVER))
        found = f"{first}: too old for torch's CUDA 12"
        return [fail("gpu.driver_old", found, f"install driver {oldest} or newer")]
    if first.free_bytes < (1 - IN_USE_SHARE) * first.total_bytes:
        advice = "a worker that runs already, or another program: nvidia-smi lists them"
        return [warn("gpu.in_use", f"{first}{others}", advice)]
    return [ok("gpu.ok", f"{first}{others}")]


def _none(device: str, on_cpu: str) -> Finding:
    if device == "cuda":
        advice = f"install NVIDIA's driver; in a container, its container toolkit; or {on_cpu}"
        return fail("gpu.missing", "DEVICE=cuda, and nvidia-smi shows no GPU", advice)
    return ok("gpu.none", "no GPU: the model runs on the CPU")


def _card(line: str) -> Card:
    name, driver, total, free = (part.strip() for part in line.rsplit(",", 3))
    return Card(name, driver, int(total) * MIB, int(free) * MIB)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
