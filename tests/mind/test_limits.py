"""Limits of minds: calls a minute, warnings, sizes; with a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from mind.events import MindEvent, Say
from mind.limits import CUT_MARK, CallBudget, Warnings, cut
from mind.pending import PendingLines


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0.0, 30.0), max_size=60), st.integers(1, 5))
def test_no_minute_has_more_calls_than_allowed(gaps_s: list[float], most: int) -> None:
    """In any 60 s at most `most` calls are made, and no call below that is denied."""
    clock = Clock()
    budget = CallBudget(most, clock)
    made_s: list[float] = []
    for gap_s in gaps_s:
        clock.now_s += gap_s
        recent = [at_s for at_s in made_s if clock.now_s - at_s < 60.0]
        assert budget.take() is (len(recent) < most)
        if len(recent) < most:
            made_s.append(clock.now_s)


def test_a_trouble_that_lasts_is_one_warning() -> None:
    """A trouble is warned of again only after a success and a minute."""
    clock = Clock()
    warnings = Warnings(60.0, clock)
    assert warnings.trouble("mind_away") is not None
    clock.now_s = 500.0
    assert warnings.trouble("mind_away") is None
    assert warnings.trouble("tool_away") is not None
    warnings.worked("mind")
    assert warnings.trouble("tool_away") is None
    assert warnings.trouble("mind_away") is not None
    warnings.worked("mind")
    clock.now_s = 530.0
    assert warnings.trouble("mind_away") is None


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_fits(text: str, most: int) -> None:
    """A cut text is at most as long as allowed, and a text that fits is not cut."""
    short = cut(text, most)
    assert len(short) <= max(most, 0)
    assert short == text or (len(text) > most and (most < len(CUT_MARK) or CUT_MARK in short))


@given(st.lists(st.sampled_from(["add", "end", "drop"])), st.integers(1, 3))
def test_a_voice_has_few_lines_at_a_time(steps: list[str], ahead: int) -> None:
    """Lines are given in order, at most `ahead` at a time; dropped lines are not given."""
    given_lines: list[str] = []

    def give(event: MindEvent) -> None:
        assert isinstance(event, Say)
        given_lines.append(event.line_id)

    pending = PendingLines(give, ahead)
    open_lines: list[str] = []
    for step in steps:
        before = len(given_lines)
        if step == "add":
            pending.add("p1", "Yes.")
        elif step == "end" and open_lines:
            assert pending.ended(open_lines.pop(0), was_refused=False)
            pending.go_on()
        elif step == "drop":
            assert list(pending.drop()) == open_lines
            open_lines.clear()
        open_lines += given_lines[before:]
        assert len(open_lines) <= ahead
    assert not pending.ended("unknown", was_refused=False)
