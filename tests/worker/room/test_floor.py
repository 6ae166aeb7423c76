"""The rules of the floor: which persona may speak."""

from hypothesis import given
from hypothesis import strategies as st

from harness.servers import GivenSettings
from worker.room.floor import Floor, FloorRules, PersonaFrame

QUIET = PersonaFrame(wants_to_speak=False, is_sounding=False)
WANTS = PersonaFrame(wants_to_speak=True, is_sounding=False)
TALKS = PersonaFrame(wants_to_speak=True, is_sounding=True)
LINE = PersonaFrame(wants_to_speak=False, is_sounding=False, has_line=True)
RULES = FloorRules()


def run(floor: Floor, frames: int, person: bool = False, **shown: PersonaFrame) -> list[str | None]:
    """Return the floor's holder after each of so many ticks with the same input."""
    return [floor.tick(shown, person) for _ in range(frames)]


def test_a_persona_gets_the_floor_when_it_wants_to_speak_in_two_of_three_frames() -> None:
    """A persona that wants to speak in one frame only does not get the floor."""
    floor = Floor()

    assert run(floor, 1, a=WANTS) + run(floor, 1, a=QUIET) == [None, None]
    assert run(floor, 1, a=WANTS) == ["a"]


def test_a_persona_that_speaks_keeps_the_floor() -> None:
    """The first persona that wanted to speak holds the floor while another one wants it."""
    floor = Floor()
    run(floor, 2, a=QUIET, b=WANTS)

    assert run(floor, 20, a=WANTS, b=TALKS) == ["b"] * 20


def test_the_persona_that_has_waited_longest_is_next() -> None:
    """Of several waiting personas the one that waited first gets the floor, whatever its name."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 4, a=TALKS, b=QUIET, c=WANTS)
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS, c=WANTS)

    assert after[-1] == "c"


def test_the_floor_passes_on_after_a_short_silence() -> None:
    """The floor passes on once its holder has been silent for `silent_frames`, not before."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    waiting = run(floor, RULES.silent_frames - 1, a=QUIET, b=WANTS)

    assert (set(waiting), run(floor, 1, a=QUIET, b=WANTS)) == ({"a"}, ["b"])


def test_a_persona_that_speaks_too_long_yields_at_its_next_pause() -> None:
    """After `hold_frames` a persona that speaks is not cut off, but yields in a short pause."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    long = run(floor, RULES.hold_frames + 10, a=TALKS, b=WANTS)
    pause = run(floor, RULES.yield_pause_frames, a=QUIET, b=WANTS)

    assert (set(long), pause[-1]) == ({"a"}, "b")


def test_a_person_who_talks_over_a_persona_stops_it() -> None:
    """A persona that speaks on while a person talks is stopped, and may speak after the person."""
    floor = Floor()
    run(floor, 2, a=WANTS)
    over = run(floor, RULES.talked_over_frames, person=True, a=TALKS)
    still = run(floor, 5, person=True, a=TALKS)
    after = run(floor, RULES.person_pause_frames + 1, a=WANTS)

    assert over == ["a"] * (RULES.talked_over_frames - 1) + [None]
    assert (set(still), after[-1]) == ({None}, "a")


def test_a_persona_that_was_named_gets_the_floor_first() -> None:
    """A named persona gets the floor although another one wanted it before."""
    floor = Floor()
    floor.name("b")
    before = run(floor, 5, a=WANTS, b=QUIET)
    after = run(floor, 2, a=WANTS, b=WANTS)

    assert (set(before), after[-1]) == ({None}, "b")


def test_others_do_not_wait_for_ever_for_a_named_persona() -> None:
    """After `named_first_frames` another persona gets the floor if the named one stays silent."""
    floor = Floor()
    floor.name("b")

    assert run(floor, RULES.named_first_frames + 1, a=WANTS, b=QUIET)[-1] == "a"


def test_a_name_outlasts_another_personas_turn() -> None:
    """A persona that was named during another's long turn still gets the floor first after it."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    floor.name("c")
    run(floor, RULES.named_first_frames * 2, a=TALKS, b=WANTS, c=QUIET)
    after = run(floor, RULES.silent_frames + 2, a=QUIET, b=WANTS, c=WANTS)

    assert (after[RULES.silent_frames - 2], after[-1], "b" in after) == ("a", "c", False)


def test_a_persona_with_a_line_gets_the_floor_without_wanting_to_speak() -> None:
    """A line gets the floor even where personas may not speak among themselves."""
    floor = Floor(FloorRules(without_person_turns=0))
    before = run(floor, 3, a=WANTS, b=QUIET)
    after = run(floor, 10, a=WANTS, b=LINE)

    assert (set(before), set(after), floor.reason) == ({None}, {"b"}, "line")


def test_a_line_comes_before_waiting_and_named_personas() -> None:
    """A persona with a line comes before one that has waited longer and was named."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 4, a=TALKS, b=WANTS, c=QUIET)
    floor.name("b")
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS, c=LINE)

    assert after[-1] == "c"


def test_lines_are_said_in_the_order_of_their_arrival() -> None:
    """Of two personas with lines, the one whose line came first speaks first."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET, c=QUIET)
    run(floor, 1, a=TALKS, b=QUIET, c=LINE)
    run(floor, 1, a=TALKS, b=LINE, c=LINE)
    after = run(floor, RULES.silent_frames, a=QUIET, b=LINE, c=LINE)

    assert after[-1] == "c"


def test_a_line_keeps_the_floor_until_it_is_said() -> None:
    """A persona keeps the floor until its line is said, however long and with whatever pauses."""
    floor = Floor()
    said = run(floor, RULES.hold_frames + RULES.silent_frames, a=LINE, b=WANTS)
    after = run(floor, RULES.silent_frames, a=QUIET, b=WANTS)

    assert (set(said), after[-1]) == ({"a"}, "b")


def test_a_person_who_talks_over_a_line_stops_it() -> None:
    """A person who talks for `talked_over_frames` stops a line, and no persona speaks meanwhile."""
    floor = Floor()
    run(floor, 2, a=LINE, b=WANTS)
    over = run(floor, RULES.talked_over_frames, person=True, a=LINE, b=WANTS)

    assert over == ["a"] * (RULES.talked_over_frames - 1) + [None]
    assert run(floor, 5, person=True, a=QUIET, b=LINE) == [None] * 5


def test_no_persona_talks_over_a_person_who_stopped_another() -> None:
    """After a person stopped a persona, others get the floor only once the person has ended."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)
    run(floor, RULES.talked_over_frames, person=True, a=TALKS, b=WANTS)
    meanwhile = run(floor, 10, person=True, a=QUIET, b=WANTS)

    meanwhile += run(floor, RULES.person_pause_frames, a=QUIET, b=WANTS)

    assert (set(meanwhile), run(floor, 1, a=QUIET, b=WANTS)) == ({None}, ["b"])


def test_a_short_pause_of_the_person_does_not_count() -> None:
    """A person's pause of `person_pause_frames` does not start the count for talking over again."""
    floor = Floor()
    run(floor, 2, a=WANTS)
    run(floor, 12, person=True, a=TALKS)
    run(floor, RULES.person_pause_frames, a=TALKS)
    rest = RULES.talked_over_frames - 12 - RULES.person_pause_frames
    over = run(floor, rest, person=True, a=TALKS)

    assert over == ["a"] * (rest - 1) + [None]


def test_a_persona_that_was_alone_keeps_the_floor() -> None:
    """A speaking persona keeps the floor when a second one joins."""
    floor = Floor()
    floor.give("a", "alone")

    assert run(floor, 5, a=TALKS, b=WANTS) == ["a"] * 5


def test_personas_take_few_turns_without_a_person() -> None:
    """After `without_person_turns` no persona gets the floor until a person speaks."""
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


def test_the_floor_is_free_when_its_holder_has_left() -> None:
    """Another persona gets the floor once its holder has left the room."""
    floor = Floor()
    run(floor, 2, a=WANTS, b=QUIET)

    assert run(floor, 2, b=WANTS)[-1] == "b"


persona_frames = st.builds(
    PersonaFrame, wants_to_speak=st.booleans(), is_sounding=st.booleans(), has_line=st.booleans()
)


@given(
    st.lists(
        st.tuples(st.fixed_dictionaries({"a": persona_frames, "b": persona_frames}), st.booleans())
    )
)
def test_no_persona_is_talked_over_by_another(
    ticks: list[tuple[dict[str, PersonaFrame], bool]],
) -> None:
    """The floor passes from persona to persona only after a silence or while a person speaks."""
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


def test_personas_that_understand_nothing_do_not_talk_together() -> None:
    """After one turn of them a person speaks, unless the operator has set another number."""
    usual, chosen = GivenSettings(), GivenSettings(floor_alone_turns=8)
    turns = [
        FloorRules.of(settings, understands=understands).without_person_turns
        for settings in (usual, chosen)
        for understands in (False, True)
    ]
    assert turns == [1, 8, 8, 8]
