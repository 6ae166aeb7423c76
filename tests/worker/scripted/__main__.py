"""`python -m tests.worker.scripted`: the whole worker, with the model that follows a schedule."""

import asyncio
import os
import time
from pathlib import Path

from protocol.config.log import configure_logging
from protocol.config.settings import Settings, load_settings
from protocol.recordings.names import SOUND
from tests.worker.scripted.model import scripted_model
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule
from worker.recording import part
from worker.room_process.room_processes import RoomProcesses
from worker.worker import Worker


def shift_clock(ahead_s: float) -> None:
    """Set the clock of this process ahead."""
    true_time = time.time
    time.time = lambda: true_time() + ahead_s


def fill_disk(marker: Path) -> None:
    """Make the disk of recordings full for sound as long as a file exists: the kernel refuses."""
    opener = part.open_private

    def open_private(path: str, flags: int) -> int:
        is_full = Path(path).suffix == f".{SOUND}" and marker.exists()
        return os.open("/dev/full", os.O_WRONLY) if is_full else opener(path, flags)

    part.open_private = open_private


def main() -> None:
    """Run the worker until a signal comes, with a clock that is `CLOCK_AHEAD_S` ahead."""
    shift_clock(float(os.environ.get("CLOCK_AHEAD_S", "0")))
    settings = load_settings()
    if settings.record_dir is not None:
        fill_disk(settings.record_dir / "full")
    configure_logging(settings)
    rooms = RoomProcesses(settings)  # forks, which have the clock and the disk as well
    try:
        asyncio.run(run(settings, rooms))
    finally:
        rooms.close()


async def run(settings: Settings, rooms: RoomProcesses) -> None:
    """Run the worker."""
    file = os.environ.get(SCHEDULE_FILE)
    model = scripted_model(settings.capacity or 6, Schedule(Path(file)) if file else None)
    await Worker(settings, rooms, load=lambda *_: model).run()


if __name__ == "__main__":
    main()
