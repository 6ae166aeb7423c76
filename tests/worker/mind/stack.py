"""The product with minds: personas of the examples, an MCP server, a model on a schedule."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.servers import free_port, wait_until
from harness.stack import Stack, start_stack
from protocol.config.settings import PROJECT
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule

EXAMPLES = PROJECT / "examples" / "minds"
KEY = "sk-a-key-that-must-not-show"
HOURS = "Sunday: 11 in the morning to 3 in the afternoon"  # of examples/minds/opening_hours.toml
WITHIN_S = 90.0  # longer than a command may take
QUESTION = "What time do you open on Sunday?"


@dataclass
class MindStack:
    """The running product, its schedule, and the port at which its worker expects the model."""

    stack: Stack
    schedule: Schedule
    model_port: int


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
    with start_stack(
        folder,
        model="echo",  # not loaded
        capacity=3,
        worker_module="tests.worker.scripted",
        personas_dir=str(folder / "personas"),
        default_persona="shop",
        mind_url=f"http://127.0.0.1:{port}/v1",
        mind_model="scripted",
        mind_api_key=KEY,
        **{SCHEDULE_FILE.lower(): str(schedule.path)},
    ) as stack:
        log = folder / "worker.log"
        wait_until(
            lambda: "tool_server_connected" in log.read_text(), "the tools are there", WITHIN_S
        )
        yield MindStack(stack, schedule, port)
