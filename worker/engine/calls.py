"""What other threads ask of the engine between two steps: joins, leaves and orders.

Pure. The engine holds its lock around every call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.engine.model import BatchedStep
from worker.engine.slots import Occupant

JOINS_AT_A_TIME = 4  # between two steps; each is a few writes to the device

Order = tuple[Occupant, Callable[[BatchedStep], None]]


@dataclass(slots=True)
class Calls:
    """The calls that wait, or those that were taken together."""

    joining: list[Occupant] = field(default_factory=list[Occupant])
    leaving: list[Occupant] = field(default_factory=list[Occupant])
    orders: list[Order] = field(default_factory=list[Order])

    def __bool__(self) -> bool:
        return bool(self.joining or self.leaving or self.orders)

    def are_due(self, *, joins: bool) -> bool:
        """Whether `take` would take any."""
        if self.leaving or (joins and self.joining):
            return True
        return any(occupant not in self.joining for occupant, _ in self.orders)

    def take(self, *, joins: bool = True) -> "Calls":
        """Take all but joins beyond `JOINS_AT_A_TIME`, or all joins, and the orders for these."""
        most = JOINS_AT_A_TIME if joins else 0
        later = set(self.joining[most:])
        taken = Calls(
            self.joining[:most],
            self.leaving,
            [each for each in self.orders if each[0] not in later],
        )
        self.joining, self.leaving = self.joining[most:], []
        self.orders = [each for each in self.orders if each[0] in later]
        return taken
