"""The engine's slots that one process of rooms uses. Called on the thread of its channel."""

from collections.abc import Callable
from functools import partial

from worker.engine.engine import Engine
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.fleet.admission import JobAdmission
from worker.room_process.messages import (
    Answered,
    AskFree,
    CallEnded,
    CatchUp,
    FrameIn,
    FrameOut,
    Join,
    Order,
    Say,
    SlotLost,
    ToRooms,
)

SlotMessage = AskFree | Join | FrameIn | Order | Say | CatchUp


class ServedSlots:
    """Carries out what a process asks of the engine, and posts what the engine delivers.

    Frames are posted on the engine's thread, which waits for nothing.
    """

    def __init__(
        self,
        engine: Engine,
        admission: JobAdmission,
        changed: Callable[[], None],
        post: Callable[[ToRooms], None],
    ) -> None:
        """`changed` is called where a slot was taken that was kept until then."""
        self._engine, self._post = engine, post
        self._admission, self._changed = admission, changed
        self._occupants: dict[int, Occupant] = {}

    def take(self, message: SlotMessage) -> None:
        """Carry out a message; one of an occupant that has left or failed is ignored."""
        if isinstance(message, AskFree | Join):
            return self._answer(message)
        occupant = self._occupants.get(message.occupant)
        if occupant is None:
            return
        match message:
            case FrameIn(_, pcm):
                self._engine.push(occupant, pcm)
            case Order(number, do, options):
                if do == "leave":
                    del self._occupants[number]
                getattr(self._engine, do)(occupant, **options)
            case Say(number, call, text):
                self._engine.say(occupant, text, partial(self._end, number, call))
            case CatchUp(number, call, more):
                done = partial(self._end, number, call, True)
                self._engine.catch_up(occupant, more, done)

    def close(self) -> None:
        """Free every slot: the process has ended."""
        for occupant in self._occupants.values():
            self._engine.leave(occupant)
        self._occupants.clear()

    def _answer(self, message: AskFree | Join) -> None:
        refusal = ""
        try:
            if isinstance(message, Join):
                self._join(message)
            else:
                self._engine.refuse_if_full()
        except Full as error:
            refusal = str(error)
        self._post(Answered(message.call, refusal))

    def _join(self, join: Join) -> None:
        number = join.occupant
        self._occupants[number] = self._engine.join(
            join.persona,
            partial(self._deliver, number),
            partial(self._post, SlotLost(number)),
            join.remembered,
        )
        if join.kept_for is not None:  # told later, it would count twice until then
            self._admission.took(join.kept_for)
            self._changed()

    def _deliver(self, number: int, frame: SlotFrame) -> None:
        """Post a frame. The engine's thread."""
        self._post(
            FrameOut(
                number,
                frame.pcm,
                frame.text,
                frame.unforced_text,
                frame.index,
                frame.arrived_s,
                frame.column,
            )
        )

    def _end(self, number: int, call: int, was_whole: bool) -> None:
        self._post(CallEnded(number, call, was_whole))
