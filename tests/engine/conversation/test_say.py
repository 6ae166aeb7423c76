"""How a line is forced into a slot's tokens: pauses, words, padding, silence."""

from worker.engine.conversation.say import UNFORCED, ForcedFrame, SpokenLine, spell
from worker.engine.conversation.slot_forcing import Silence, SlotForcing

PAD, END = 3, 0
SILENCE = Silence(pad=PAD, codes=(7, 8, 9), delays=(0, 1, 1))


def saying(*words: list[int], ends: list[bool] | None = None) -> SpokenLine:
    """Return a line of these words, which reports its end to `ends`."""
    return SpokenLine(words, PAD, END, (ends if ends is not None else []).append)


def paused(*words: list[int]) -> SpokenLine:
    """Return a line whose pause has come."""
    text = saying(*words)
    for _ in range(4):
        text.used(PAD)
    return text


def run(text: SpokenLine, unforced: list[int]) -> list[int]:
    """Return the tokens of a model that would say `unforced` on its own."""
    used: list[int] = []
    for token in unforced:
        forced = text.frame
        word = token not in (PAD, END)
        if forced.text is not None and (word or not forced.at_word):
            token = forced.text
        text.used(token)
        used.append(token)
    return used


def test_a_line_waits_for_a_pause() -> None:
    """A line begins after four frames in a row without a word; until then nothing is forced."""
    text = saying([11])

    assert run(text, [21, PAD, PAD, PAD, 22, PAD, END, PAD, PAD]) == [
        21,
        *[PAD] * 3,
        22,
        PAD,
        END,
        PAD,
        PAD,
    ]
    assert text.frame == ForcedFrame(11, at_word=True)


def test_a_line_waits_no_longer_than_ten_seconds() -> None:
    """A line begins after 125 frames in which the model never paused."""
    text = saying([11])
    run(text, [21] * 124)
    before = text.frame
    text.used(21)

    assert (before, text.frame) == (UNFORCED, ForcedFrame(11, at_word=True))


def test_a_word_begins_where_the_model_begins_one() -> None:
    """A word begins where the model begins one, and ends with a frame of padding."""
    text = paused([11, 12, 13], [14])

    assert run(text, [PAD, END, 30, 31, PAD, 32, PAD, 33]) == [PAD, END, 11, 12, 13, PAD, PAD, 14]
    assert text.over


def test_the_mark_before_a_word_may_follow_a_word_at_once() -> None:
    """Where padding is due, the model's own end of padding is kept: words may follow closely.

    Padding in its place held the next word back by a frame, and a small model lost its thread.
    """
    text = paused([11], [12])

    assert run(text, [END, 30, END, 31]) == [END, 11, END, 12]


def test_padding_has_a_limit() -> None:
    """After twelve frames of padding the next word is forced."""
    text = paused([11], [12])

    assert run(text, [PAD] * 28) == [*[PAD] * 12, END, 11, *[PAD] * 12, END, 12]


def test_frames_before_the_line_count_as_pause_and_padding() -> None:
    """The more frames without a word came before a line, the sooner its word is forced."""
    rested = {
        frames: run(SpokenLine([[11]], PAD, END, lambda _: None, frames), [PAD] * 18)
        for frames in (0, 9, 16, 500)
    }

    assert [used.index(END) for used in rested.values()] == [16, 16 - 9, 0, 0]
    assert {used[used.index(END) + 1] for used in rested.values()} == {11}


def test_the_end_of_a_line_is_reported_once() -> None:
    """`done` is called once, with whether all of the line was said."""
    ends: list[bool] = []
    whole = saying([11], ends=ends)
    run(whole, [PAD] * 4 + [40])
    whole.end()
    whole.end()
    cut = saying([11], [12], ends=ends)
    run(cut, [PAD] * 4 + [40])
    cut.end()

    assert ends == [True, False]


def test_words_begin_with_a_space() -> None:
    """A word is a piece with a space and the pieces after it; ids without text are left out."""
    pieces = (None, "▁hel", "lo", "▁you", "!")

    assert spell("", lambda text: [1, 2, 0, 3, 4], pieces) == [[1, 2], [3, 4]]
    assert spell("", lambda text: [2, 1], pieces) == [[2], [1]]
    assert spell("", lambda text: [0], pieces) == []


def test_a_slot_without_lines_is_not_forced() -> None:
    """A slot without a line or a reason for silence has no forced tokens."""
    assert SlotForcing(SILENCE).frame == UNFORCED


def test_silence_of_delayed_codes_begins_and_ends_a_step_later() -> None:
    """Codes with a delay belong to the frame before, so they are silent from the next step on."""
    forcing = SlotForcing(SILENCE)
    frames: list[ForcedFrame] = []
    for step, on in enumerate([True, None, False, None, None]):
        if on is not None:
            forcing.hush(on)
        frames.append(forcing.frame)
        forcing.used(PAD if step < 2 else 20)

    assert frames == [
        ForcedFrame(PAD, audio=(7, None, None)),
        ForcedFrame(PAD, audio=(7, 8, 9)),
        ForcedFrame(audio=(None, 8, 9)),
        UNFORCED,
        UNFORCED,
    ]


def test_a_slot_is_silent_until_every_reason_has_gone() -> None:
    """A slot that was silenced for two reasons speaks when both have ended."""
    forcing = SlotForcing(SILENCE)
    forcing.hush(True)
    forcing.hush(True, "prompt")
    forcing.hush(False)
    still = forcing.frame.text
    forcing.hush(False, "prompt")

    assert (still, forcing.frame) == (PAD, UNFORCED)


def test_after_a_prompt_delayed_codes_are_silent() -> None:
    """After a prompt's silence only the delayed codes of its last frame are forced."""
    forcing = SlotForcing(SILENCE)
    forcing.after_silence()
    first = forcing.frame
    forcing.used(20)

    assert (first, forcing.frame) == (ForcedFrame(audio=(None, 8, 9)), UNFORCED)


def test_a_line_waits_while_its_slot_is_silenced() -> None:
    """A line that had not begun is said once its slot is no longer silenced."""
    forcing = SlotForcing(SILENCE)
    forcing.say(saying([11]))
    for _ in range(4):
        forcing.used(PAD)
    forcing.hush(True)
    hushed = forcing.frame.text
    for _ in range(10):
        forcing.used(PAD)
    forcing.hush(False)

    assert (hushed, forcing.frame.text, forcing.frame.at_word) == (PAD, 11, True)


def test_a_line_that_is_cut_off_is_not_finished_later() -> None:
    """Silence ends a line that has begun; the next line is said whole afterwards."""
    ends: list[bool] = []
    forcing = SlotForcing(SILENCE)
    forcing.say(saying([11], [12], ends=ends))
    forcing.say(saying([13], [14]))
    for token in (PAD, PAD, PAD, PAD, 11):
        forcing.used(token)
    forcing.hush(True)
    at_once = list(ends)
    forcing.used(PAD)
    forcing.hush(False)
    used = [PAD] * 4
    for token in used:
        forcing.used(token)

    assert at_once == [False]
    assert (forcing.frame.text, forcing.frame.at_word) == (13, True)


def test_lines_are_said_in_order() -> None:
    """Each line waits for a pause after the one before, and `drop_lines` ends it."""
    ends: list[bool] = []
    forcing = SlotForcing(SILENCE)
    forcing.say(saying([11], ends=ends))
    forcing.say(saying([12], ends=ends))
    for token in (PAD, PAD, PAD, PAD, 11):
        forcing.used(token)
    between = forcing.frame
    for _ in range(4):
        forcing.used(PAD)

    assert (between, forcing.frame.text, ends) == (UNFORCED, 12, [True])
    forcing.drop_lines()
    assert ends == [True, False]
    assert forcing.frame == UNFORCED


def test_after_a_line_the_model_rests() -> None:
    """For some frames after a line the model begins no word of its own, but the next line may."""
    forcing = SlotForcing(SILENCE, rest_frames=2)
    assert forcing.frame == UNFORCED
    forcing.say(saying([11]))
    for token in (*[PAD] * 4, 11):
        forcing.used(token)
    frames: list[ForcedFrame] = []
    for _ in range(2):
        frames.append(forcing.frame)
        forcing.say(saying([12]))
        forcing.used(PAD)
    assert frames == [ForcedFrame(PAD, at_word=True)] * 2 and forcing.frame == UNFORCED
    for _ in range(2):
        forcing.used(PAD)
    assert forcing.frame.text == 12


def test_drop_lines_unless_begun_lets_a_line_end() -> None:
    """`unless_begun` drops lines that wait, and lets one that has begun end whole."""
    ends: list[bool] = []
    forcing = SlotForcing(SILENCE)
    forcing.say(saying([11], [12], ends=ends))
    forcing.say(saying([13], ends=ends))
    for token in (PAD, PAD, PAD, PAD, 11):
        forcing.used(token)
    forcing.drop_lines(unless_begun=True)
    dropped = list(ends)
    for token in (PAD, 12):
        forcing.used(token)

    assert (dropped, ends) == ([False], [False, True])
    forcing.say(saying([14], ends=ends))
    forcing.drop_lines(unless_begun=True)
    assert ends == [False, True, False]


def test_a_line_without_words_ends_at_once() -> None:
    """A line without words is reported as said at once."""
    ends: list[bool] = []
    SlotForcing(SILENCE).say(saying(ends=ends))

    assert ends == [True]
