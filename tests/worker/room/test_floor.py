"""The floor's rules, by schedules of wills."""

from hypothesis import given
from hypothesis import strategies as st

from worker.room.floor import Floor, FloorRules, PersonaFrame

QUIET = PersonaFrame(wants_to_speak=False, is_sounding=False)
WANTS = PersonaFrame(wants_to_speak=True, is_sounding=False)
TALKS = PersonaFrame(wants_to_speak=True, is_sounding=True)
LINE = PersonaFrame(wants_to_speak=False, is_sounding=False, has_line=True)
RULES = FloorRules()


def run(floor: Floor, frames: int, person: bool = False, **shown: PersonaFrame) -> list[str | None]:
    """The same showing for some frames."""
    return [floor.tick(shown, person) for _ in range(frames)]


def test_two_of_three_frames() -> None:
    """One wish is noise; two within three frames get the floor."""
    floor = Floor()

    assert run(floor, 1, a=WANTS) + run(floor, 1, a=QUIET) == [None, None]
    assert run(floor, 1, a=WANTS) == ["a"]


def test_the_first_to_want_it_gets_it() -> None:
    """Who has the floor keeps it while others want it."""
    floor = Floor()
    run(floor, 2, a=QUIET, b=WANTS)

    assert run(floor, 20, a=WANTS, b=TALKS) == ["b"] * 20


def test_who_has_waited_longest_is_next() -> None:
    """Of several that wait for the floor the first to want it has it, whatever their order."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 4, a=TALKS, b=QUIET, c=WANTS)
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS, c=WANTS)

    assert after[-1] == "c"


def test_free_after_a_short_silence() -> None:
    """The next one speaks once the holder has been silent for a while, not before."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    waiting = run(floor, RULES.silent_frames - 1, a=QUIET, b=WANTS)

    assert (set(waiting), run(floor, 1, a=QUIET, b=WANTS)) == ({"a"}, ["b"])


def test_too_long_yields_at_a_pause() -> None:
    """Who holds the floor for too long is not cut, but loses it at the next short pause."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    long = run(floor, RULES.hold_frames + 10, a=TALKS, b=WANTS)
    pause = run(floor, RULES.yield_pause_frames, a=QUIET, b=WANTS)

    assert (set(long), pause[-1]) == ({"a"}, "b")


def test_a_person_talks_over_it() -> None:
    """The model may stop by itself; after two seconds it is stopped, and waits for the person."""
    floor = Floor()
    run(floor, 2, a=WANTS)
    over = run(floor, RULES.talked_over_frames, person=True, a=TALKS)
    still = run(floor, 5, person=True, a=TALKS)
    after = run(floor, RULES.person_pause_frames + 1, a=WANTS)

    assert over == ["a"] * (RULES.talked_over_frames - 1) + [None]
    assert (set(still), after[-1]) == ({None}, "a")


def test_the_named_one_comes_first() -> None:
    """A persona that was addressed gets the floor although another wanted it before."""
    floor = Floor()
    floor.name("b")
    before = run(floor, 5, a=WANTS, b=QUIET)
    after = run(floor, 2, a=WANTS, b=WANTS)

    assert (set(before), after[-1]) == ({None}, "b")


def test_named_but_unwilling() -> None:
    """Others need not wait for ever for one that was named and says nothing."""
    floor = Floor()
    floor.name("b")

    assert run(floor, RULES.named_first_frames + 1, a=WANTS, b=QUIET)[-1] == "a"


def test_named_while_another_speaks() -> None:
    """Time in which another has the floor is not counted: who was named comes first after it."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    floor.name("c")
    run(floor, RULES.named_first_frames * 2, a=TALKS, b=WANTS, c=QUIET)
    after = run(floor, RULES.silent_frames + 2, a=QUIET, b=WANTS, c=WANTS)

    assert (after[RULES.silent_frames - 2], after[-1], "b" in after) == ("a", "c", False)


def test_one_with_a_line_to_say() -> None:
    """A persona that is told to say something gets the floor unasked, also in a closed talk."""
    floor = Floor(FloorRules(without_person_turns=0))
    before = run(floor, 3, a=WANTS, b=QUIET)
    after = run(floor, 10, a=WANTS, b=LINE)

    assert (set(before), set(after), floor.reason) == ({None}, {"b"}, "line")


def test_a_line_comes_before_wishes_and_names() -> None:
    """A persona with a line comes before one that has waited longer and one that was named."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 4, a=TALKS, b=WANTS, c=QUIET)
    floor.name("b")
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS, c=LINE)

    assert after[-1] == "c"


def test_lines_are_said_in_the_order_of_their_coming() -> None:
    """Of two personas with a line the first to get it is the first to say it."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 1, a=TALKS, b=QUIET, c=LINE)
    run(floor, 1, a=TALKS, b=LINE, c=LINE)
    after = run(floor, RULES.silent_frames, a=QUIET, b=LINE, c=LINE)

    assert after[-1] == "c"


def test_a_line_keeps_the_floor_until_it_is_said() -> None:
    """Pauses inside a line free no floor, however long it takes and who else wants it."""
    floor = Floor()
    said = run(floor, RULES.hold_frames + RULES.silent_frames, a=LINE, b=WANTS)
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS)

    assert (set(said), after[-1]) == ({"a"}, "b")


def test_a_person_talks_a_line_down() -> None:
    """Two seconds of a person's talk end a line, too; others wait until the person has ended."""
    floor = Floor()
    run(floor, 2, a=LINE, b=WANTS)
    over = run(floor, RULES.talked_over_frames, person=True, a=LINE, b=WANTS)

    assert over == ["a"] * (RULES.talked_over_frames - 1) + [None]
    assert run(floor, 5, person=True, a=QUIET, b=LINE) == [None] * 5


def test_nobody_talks_into_the_person_who_cut_one_off() -> None:
    """Others wait, too, until the person who talked a persona down has ended."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    run(floor, RULES.talked_over_frames, person=True, a=TALKS, b=WANTS)
    meanwhile = run(floor, 10, person=True, a=QUIET, b=WANTS)

    meanwhile += run(floor, RULES.person_pause_frames, a=QUIET, b=WANTS)

    assert (set(meanwhile), run(floor, 1, a=QUIET, b=WANTS)) == ({None}, ["b"])


def test_a_breath_of_the_person() -> None:
    """A person who takes a breath has not ended: the two seconds go on."""
    floor = Floor()
    run(floor, 2, a=WANTS)
    run(floor, 12, person=True, a=TALKS)
    run(floor, RULES.person_pause_frames, a=TALKS)
    rest = RULES.talked_over_frames - 12 - RULES.person_pause_frames
    over = run(floor, rest, person=True, a=TALKS)

    assert over == ["a"] * (rest - 1) + [None]


def test_one_that_was_alone_goes_on() -> None:
    """A persona that speaks when a second one comes keeps the floor."""
    floor = Floor()
    floor.give_to_only("a")

    assert run(floor, 5, a=TALKS, b=WANTS) == ["a"] * 5


def test_talk_among_themselves_ends() -> None:
    """Without a person the talk is bounded, and starts again when somebody speaks."""
    rules = FloorRules(without_person_turns=2)
    floor = Floor(rules)
    for who in ("a", "b"):
        shown = {"a": QUIET, "b": QUIET} | {who: WANTS}
        run(floor, 3, **shown)
        run(floor, rules.silent_frames, a=QUIET, b=QUIET)
    closed = run(floor, 5, a=WANTS, b=QUIET)
    run(floor, 1, person=True, a=QUIET, b=QUIET)
    opened = run(floor, 3, a=WANTS, b=QUIET)

    assert (set(closed), opened[-1]) == ({None}, "a")


def test_one_that_left() -> None:
    """The floor is free when its holder has left the room."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)

    assert run(floor, 2, b=WANTS)[-1] == "b"


showings = st.builds(
    PersonaFrame, wants_to_speak=st.booleans(), is_sounding=st.booleans(), has_line=st.booleans()
)


@given(st.lists(st.tuples(st.fixed_dictionaries({"a": showings, "b": showings}), st.booleans())))
def test_no_persona_is_talked_over_by_another(
    ticks: list[tuple[dict[str, PersonaFrame], bool]],
) -> None:
    """The floor passes from one persona to another only over a silence or a person's word."""
    floor = Floor()
    holder: str | None = None
    quiet = 0
    for shown, person in ticks:
        if holder is not None:
            now = shown[holder]
            silent = not (now.is_sounding or now.wants_to_speak or now.has_line)
            quiet = quiet + 1 if silent else 0
        after = floor.tick(shown, person)
        if holder is not None and after not in (holder, None):
            assert quiet >= RULES.yield_pause_frames or person
        if after != holder:
            quiet = 0
        holder = after
