"""The order of lines: one at a time, each whole or not at all, memory fresh between them."""

from protocol.commands import LINES_WAITING, TAKEN
from protocol.personas import GREETING, Persona
from worker.engine.conversation.repertoire import Repertoire
from worker.room.persona.lines import Line, LineQueue


class Mouth:
    """What the engine was given to do, in order, and how lines ended."""

    def __init__(self, *, greeting: str = "", repertoire: Repertoire | None = None) -> None:
        persona = Persona(name="anna", label="Anna", voice="anna", greeting=greeting)
        self.did: list[str] = []
        self.given: list[Line] = []
        self.ended: list[tuple[str, bool]] = []
        self.lines = LineQueue(
            persona,
            repertoire,
            self._say,
            lambda: self.did.append("forget"),
            lambda: self.did.append("drop unless begun"),
            lambda line, whole: self.ended.append((line.id, whole)),
        )

    def _say(self, line: Line) -> None:
        self.did.append(line.text)
        self.given.append(line)


def test_lines_are_given_one_at_a_time() -> None:
    """The second is given when the first is over, and a wish to forget comes between them."""
    mouth = Mouth()
    mouth.lines.add(Line("1", "One."))
    mouth.lines.add_forget()
    mouth.lines.add(Line("2", "Two."))
    before = list(mouth.did)
    mouth.lines.end(mouth.given[0], was_whole=True)

    assert before == ["One."]
    assert mouth.did == ["One.", "forget", "Two."]
    assert (mouth.ended, mouth.lines.is_active) == ([("1", True)], True)


def test_nothing_to_say_forgets_at_once() -> None:
    """Without a line there is nothing to wait for."""
    mouth = Mouth()
    mouth.lines.add_forget()

    assert (mouth.did, mouth.lines.is_active) == (["forget"], False)


def test_what_is_dropped_is_told_once() -> None:
    """Each dropped line has ended; that the engine tells it, too, ends no later line."""
    mouth = Mouth()
    mouth.lines.add(Line("1", "One."))
    mouth.lines.add(Line("2", "Two."))
    mouth.lines.add_forget()
    mouth.lines.drop_all()
    mouth.lines.add(Line("3", "Three."))
    mouth.lines.end(mouth.given[0], was_whole=False)

    assert mouth.ended == [("1", False), ("2", False)]
    assert (mouth.did, mouth.lines.is_active) == (["One.", "forget", "Three."], True)


def test_a_lost_slot_loses_one_line() -> None:
    """The line that was being said is cut off, the next one is said in the new slot."""
    mouth = Mouth()
    mouth.lines.add(Line("1", "One."))
    mouth.lines.add(Line("2", "Two."))
    mouth.lines.cut_off_current()

    assert (mouth.ended, mouth.did) == ([("1", False)], ["One.", "Two."])


def test_so_many_lines_wait_at_most() -> None:
    """One is said and some wait; one more is refused with their number and the persona's label."""
    mouth = Mouth()
    taken = [mouth.lines.add(Line(str(n), "Hi.")) for n in range(LINES_WAITING + 1)]
    refused = mouth.lines.add(Line("x", "Hi."))

    assert taken == [TAKEN] * (LINES_WAITING + 1)
    assert refused.refusal == "too_many_lines"
    assert refused.detail.startswith(f"{LINES_WAITING} lines wait to be said by Anna")


def test_a_model_with_a_repertoire_says_nothing_else() -> None:
    """A line is said as the model learned it; any other is refused with the choices."""
    mouth = Mouth(repertoire=Repertoire({"*": ["Yes, I see.", "All right."]}))
    taken = mouth.lines.add(Line("1", "yes i see"))
    refused = mouth.lines.add(Line("2", "Dinner is ready."))

    assert (taken, mouth.did) == (TAKEN, ["Yes, I see."])
    assert refused.refusal == "cannot_say"
    assert refused.detail.endswith("Choices: Yes, I see. | All right.")


def test_a_greeting_is_a_line() -> None:
    """A persona with a greeting says it; one without, or whose model cannot, says nothing."""
    greets = Mouth(greeting=GREETING)
    greets.lines.add_greeting()
    others = [Mouth(), Mouth(greeting=GREETING, repertoire=Repertoire({}))]
    for each in others:
        each.lines.add_greeting()

    assert greets.did == [GREETING]
    assert [each.did for each in others] == [[], []]


def test_no_line_of_a_mind_begins_while_a_person_speaks() -> None:
    """What waits goes on waiting, what the engine has not begun is dropped; commands are said."""
    mouth = Mouth()
    mouth.lines.add(Line("1", "One.", is_minds=True))
    mouth.lines.hold(True)
    mouth.lines.end(mouth.given[0], was_whole=False)
    mouth.lines.add(Line("2", "Two.", is_minds=True))
    held = list(mouth.did)
    mouth.lines.hold(False)

    assert held == ["One.", "drop unless begun"]
    assert (mouth.did[-1], mouth.ended) == ("Two.", [("1", False)])


def test_a_command_is_said_while_a_person_speaks() -> None:
    """As it always was: its caller decides when."""
    mouth = Mouth()
    mouth.lines.hold(True)
    mouth.lines.add(Line("1", "One."))

    assert mouth.did == ["One."]


def test_a_withdrawn_line_has_no_end() -> None:
    """Neither one that waits, nor one that the engine drops; one that has begun ends whole."""
    mouth = Mouth()
    for number in "123":
        mouth.lines.add(Line(number, f"{number}.", is_minds=True))
    mouth.lines.withdraw(["1", "2"])
    mouth.lines.end(mouth.given[0], was_whole=False)
    mouth.lines.withdraw(["3"])
    mouth.lines.end(mouth.given[1], was_whole=True)

    assert mouth.did == ["1.", "drop unless begun", "3.", "drop unless begun"]
    assert mouth.ended == [("3", True)]
