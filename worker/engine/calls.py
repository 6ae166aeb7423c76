"""What other threads ask of the engine between two steps: joins, leaves and commands.

Pure. The engine holds its lock around every call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.engine.model import BatchedStep
from worker.engine.slots import Occupant

JOINS_AT_A_TIME = 4  # between two steps; each is a few writes to the device

Command = tuple[Occupant, Callable[[BatchedStep], None]]


@dataclass(slots=True)
class Calls:
    joining: list[Occupant] = field(default_factory=list[Occupant])
    leaving: list[Occupant] = field(default_factory=list[Occupant])
    commands: list[Command] = field(default_factory=list[Command])

    def __bool__(self) -> bool:
        return bool(self.joining or self.leaving or self.commands)

    def take(self) -> "Calls":
        """Take all but joins beyond `JOINS_AT_A_TIME` and the commands for these."""
        later = set(self.joining[JOINS_AT_A_TIME:])
        taken = Calls(
            self.joining[:JOINS_AT_A_TIME],
            self.leaving,
            [each for each in self.commands if each[0] not in later],
        )
        self.joining, self.leaving = self.joining[JOINS_AT_A_TIME:], []
        self.commands = [each for each in self.commands if each[0] in later]
        return taken
