"""The queue of a persona's lines: one at a time, each whole or not at all."""

from protocol.commands import LINES_WAITING, TAKEN
from protocol.personas import GREETING, Persona
from worker.engine.conversation.repertoire import Repertoire
from worker.room.persona.lines import Line, LineQueue


class Speaker:
    """A persona's queue of lines, with what the engine was given in order and how lines ended."""

    def __init__(self, *, greeting: str = "", repertoire: Repertoire | None = None) -> None:
        persona = Persona(name="anna", label="Anna", voice="anna", greeting=greeting)
        self.actions: list[str] = []
        self.given: list[Line] = []
        self.ended: list[tuple[str, bool]] = []
        self.lines = LineQueue(
            persona,
            repertoire,
            self._say,
            lambda: self.actions.append("forget"),
            lambda: self.actions.append("drop unless begun"),
            lambda line, whole: self.ended.append((line.id, whole)),
        )

    def _say(self, line: Line) -> None:
        self.actions.append(line.text)
        self.given.append(line)


def test_lines_are_given_one_at_a_time() -> None:
    """A second line, and a command to forget before it, wait until the first line is over."""
    speaker = Speaker()
    speaker.lines.add(Line("1", "One."))
    speaker.lines.add_forget()
    speaker.lines.add(Line("2", "Two."))
    before = list(speaker.actions)
    speaker.lines.end(speaker.given[0], was_whole=True)

    assert before == ["One."]
    assert speaker.actions == ["One.", "forget", "Two."]
    assert (speaker.ended, speaker.lines.is_active) == ([("1", True)], True)


def test_a_persona_without_a_line_forgets_at_once() -> None:
    """A command to forget is carried out at once where no line is said."""
    speaker = Speaker()
    speaker.lines.add_forget()

    assert (speaker.actions, speaker.lines.is_active) == (["forget"], False)


def test_a_dropped_line_ends_once() -> None:
    """Each dropped line ends once; the engine's report of its end ends no later line."""
    speaker = Speaker()
    speaker.lines.add(Line("1", "One."))
    speaker.lines.add(Line("2", "Two."))
    speaker.lines.add_forget()
    speaker.lines.drop_all()
    speaker.lines.add(Line("3", "Three."))
    speaker.lines.end(speaker.given[0], was_whole=False)

    assert speaker.ended == [("1", False), ("2", False)]
    assert (speaker.actions, speaker.lines.is_active) == (["One.", "forget", "Three."], True)


def test_a_lost_slot_cuts_off_one_line() -> None:
    """The line that was being said is cut off, and the next one is said in the new slot."""
    speaker = Speaker()
    speaker.lines.add(Line("1", "One."))
    speaker.lines.add(Line("2", "Two."))
    speaker.lines.cut_off_current()

    assert (speaker.ended, speaker.actions) == ([("1", False)], ["One.", "Two."])


def test_more_lines_than_may_wait_are_refused() -> None:
    """One more than `LINES_WAITING` is refused with that number and the persona's label."""
    speaker = Speaker()
    taken = [speaker.lines.add(Line(str(n), "Hi.")) for n in range(LINES_WAITING + 1)]
    refused = speaker.lines.add(Line("x", "Hi."))

    assert taken == [TAKEN] * (LINES_WAITING + 1)
    assert refused.refusal == "too_many_lines"
    assert refused.detail.startswith(f"{LINES_WAITING} lines wait to be said by Anna")


def test_a_model_says_only_lines_of_its_repertoire() -> None:
    """A line is said as the repertoire spells it; any other is refused with the choices."""
    speaker = Speaker(repertoire=Repertoire({"*": ["Yes, I see.", "All right."]}))
    taken = speaker.lines.add(Line("1", "yes i see"))
    refused = speaker.lines.add(Line("2", "Dinner is ready."))

    assert (taken, speaker.actions) == (TAKEN, ["Yes, I see."])
    assert refused.refusal == "cannot_say"
    assert refused.detail.endswith("Choices: Yes, I see. | All right.")


def test_a_persona_with_a_greeting_says_it() -> None:
    """A persona without a greeting, or whose model cannot say it, says nothing."""
    greets = Speaker(greeting=GREETING)
    greets.lines.add_greeting()
    others = [Speaker(), Speaker(greeting=GREETING, repertoire=Repertoire({}))]
    for each in others:
        each.lines.add_greeting()

    assert greets.actions == [GREETING]
    assert [each.actions for each in others] == [[], []]


def test_no_line_of_a_mind_begins_while_a_person_speaks() -> None:
    """While a person speaks, a mind's lines wait, and the engine drops one that has not begun."""
    speaker = Speaker()
    speaker.lines.add(Line("1", "One.", is_minds=True))
    speaker.lines.hold(True)
    speaker.lines.end(speaker.given[0], was_whole=False)
    speaker.lines.add(Line("2", "Two.", is_minds=True))
    held = list(speaker.actions)
    speaker.lines.hold(False)

    assert held == ["One.", "drop unless begun"]
    assert (speaker.actions[-1], speaker.ended) == ("Two.", [("1", False)])


def test_a_command_is_said_while_a_person_speaks() -> None:
    """A line of a caller's command does not wait until the person is silent."""
    speaker = Speaker()
    speaker.lines.hold(True)
    speaker.lines.add(Line("1", "One."))

    assert speaker.actions == ["One."]


def test_a_withdrawn_line_reports_no_end() -> None:
    """Withdrawn lines report no end, but for one that had begun and was said whole."""
    speaker = Speaker()
    for number in "123":
        speaker.lines.add(Line(number, f"{number}.", is_minds=True))
    speaker.lines.withdraw(["1", "2"])
    speaker.lines.end(speaker.given[0], was_whole=False)
    speaker.lines.withdraw(["3"])
    speaker.lines.end(speaker.given[1], was_whole=True)

    assert speaker.actions == ["1.", "drop unless begun", "3.", "drop unless begun"]
    assert speaker.ended == [("3", True)]
