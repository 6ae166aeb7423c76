"""The product with minds: personas of the examples, an MCP server, a model on a schedule."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.servers import free_port, wait_until
from harness.stack import Stack, environment, module, start_stack
from protocol.config.settings import PROJECT
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule

EXAMPLES = PROJECT / "examples" / "minds"
KEY = "sk-a-key-that-must-not-show"
HOURS = "Sunday: 11 in the morning to 3 in the afternoon"  # of examples/minds/opening_hours.toml
WORKER = "tests.worker.scripted"  # loads no model
SLOTS = 3
WITHIN_S = 90.0  # longer than a command may take
QUESTION = "What time do you open on Sunday?"


@dataclass
class MindStack:
    """The running product, its schedule, and the port at which its worker expects the model."""

    stack: Stack
    schedule: Schedule
    model_port: int
    settings: dict[str, str]  # of its worker, in lower case


@contextmanager
def start_minded(folder: Path) -> Generator[MindStack]:
    """Start the product with the personas `shop` (a language model) and `greeter` (lines).

    Waits until the shop's tool server is connected, which rooms do not.
    """
    (folder / "personas").mkdir()
    for name in ("shop", "greeter"):
        shutil.copy(EXAMPLES / f"{name}.toml", folder / "personas")
    schedule, port = Schedule(folder / "schedule.json"), free_port()
    schedule.write({})
    settings = {
        "personas_dir": str(folder / "personas"),
        "default_persona": "shop",
        "mind_url": f"http://127.0.0.1:{port}/v1",
        "mind_model": "scripted",
        "mind_api_key": KEY,
        SCHEDULE_FILE.lower(): str(schedule.path),
    }
    with start_stack(
        folder, model="echo", capacity=SLOTS, worker_module=WORKER, **settings
    ) as stack:
        _wait_for_tools(folder / "worker.log")
        yield MindStack(stack, schedule, port, settings)


@contextmanager
def other_worker(minded: MindStack, folder: Path) -> Generator[None]:
    """Run one more worker of that product, ready as the first one."""
    stack, log = minded.stack, folder / "worker.log"
    env = environment(stack.livekit, stack.redis_url) | {
        "WORKER_PORT": str(free_port()),
        "MODEL": "echo",
        "CAPACITY": str(SLOTS),
    }
    env |= {name.upper(): value for name, value in minded.settings.items()}
    with module(WORKER, lambda: _says('"state": "ready"', log), log, env):
        _wait_for_tools(log)
        yield


def _wait_for_tools(log: Path) -> None:
    wait_until(lambda: _says("tool_server_connected", log), "the tools are there", WITHIN_S)


def _says(text: str, log: Path) -> bool:
    return log.exists() and text in log.read_text()
