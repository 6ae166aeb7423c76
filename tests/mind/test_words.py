"""Pure functions of minds: sentences, patterns, fixed answers, addressing, the transcript."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mind.words.addressed import addressed, named
from mind.words.lines import FixedAnswers
from mind.words.phrases import Phrase, words_of
from mind.words.sentences import SentenceSplitter, speakable
from mind.words.transcript import NAME_LIMIT, TEXT_KEPT, TURN_LIMIT, TURNS_KEPT, Transcript
from protocol.minds import LinesMind

TEXTS = st.text(alphabet=st.sampled_from("ab .,!?\n“”é_1-…"), max_size=400)
WORDS = st.lists(st.sampled_from(["what", "time", "open", "sunday", "the"]), max_size=12)


def cut_at(text: str, places: list[int]) -> list[str]:
    """Return a text in pieces, cut at these places."""
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(bounds)]


def split(pieces: list[str], longest: int = 500) -> list[str]:
    """Return the sentences of a text that arrives in pieces."""
    splitter = SentenceSplitter(longest)
    sentences = [sentence for piece in pieces for sentence in splitter.add(piece)]
    return sentences + splitter.finish()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("We open at 9. See you!", ["We open at 9.", "See you!"]),
        ("It costs 3.50 today. Fine?", ["It costs 3.50 today.", "Fine?"]),
        ("Ask Dr. Weber, e.g. at noon. Bye.", ["Ask Dr. Weber, e.g. at noon.", "Bye."]),
        ("From 9 a.m. to 5 p.m. on Sunday. Bye.", ["From 9 a.m. to 5 p.m. on Sunday.", "Bye."]),
        ("It is 3.5. See www.x.org. Bye.", ["It is 3.5.", "See www.x.org.", "Bye."]),
        ('She said "Go." Then left.', ['She said "Go."', "Then left."]),
        ("No. We are closed.", ["No.", "We are closed."]),
        ("1. First, cut it. 2. Then fry.", ["1. First, cut it.", "2. Then fry."]),
        ("**Open** at `nine`…\n- and [here](http://x.y) too", ["Open at nine…", "and here too"]),
        ("J. S. Bach lived.", ["J. S. Bach lived."]),
        ("今日は休みです。明日。来て", ["今日は休みです。", "明日。", "来て"]),
        ("...", []),
        ("", []),
    ],
)
def test_text_becomes_sentences(text: str, sentences: list[str]) -> None:
    """Sentences end at their marks, not in numbers or abbreviations, and lose their Markdown."""
    assert split([text]) == sentences


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Sunny \N{SMILING FACE WITH SMILING EYES}\ufe0f today, 20 °C", "Sunny today, 20 °C"),
        ("Hello \U0001f44d! At 9 \U0001f44d\U0001f44d .", "Hello! At 9 ."),
        ("\U0001f44d\U0001f3fd Yes \U0001f1f3\U0001f1f4", "Yes"),
        ("https://www.shop.example:80/a/b?c=d#e, or http://x.org.", "shop.example, or x.org."),
        ("![A map](https://x.org/a.png) and <https://x.org/>", "A map and <x.org>"),
        ("| Mon | 9 to 5 |", "Mon, 9 to 5"),
        ("|---|:--:|", ""),
        ("```python", ""),
        ("<b>Open</b><br/>now", "Open now"),
        ("opening_hours, ~5 min, 2 * 3, #1", "opening hours, about 5 min, 2 times 3, number 1"),
        ("5 < 6 and $3.50 + 2 €", "5 < 6 and $3.50 + 2 €"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_not_in_what_is_spoken(text: str, said: str) -> None:
    """Emoji, addresses' paths, tables and tags are left out; signs that mean a word become it."""
    assert speakable(text) == said


@given(TEXTS, st.lists(st.integers(0, 400), max_size=20))
def test_sentences_do_not_depend_on_how_text_is_cut(text: str, places: list[int]) -> None:
    """A text gives the same sentences in one piece and in several."""
    assert split(cut_at(text, places)) == split([text])


@given(TEXTS, st.integers(8, 40))
def test_sentences_are_bounded_and_hold_every_word(text: str, longest: int) -> None:
    """No sentence is empty or over the limit, and no letter is lost or added."""
    sentences = split([text], longest)
    assert all(0 < len(sentence) <= longest for sentence in sentences)
    assert letters("".join(sentences)) == letters(text)


def letters(text: str) -> str:
    """Return the letters and digits of a text."""
    return "".join(filter(str.isalnum, text))


@given(st.text())
def test_spoken_text_is_one_clean_line(text: str) -> None:
    """Spoken text has no control character, line end or Markdown mark."""
    assert not set(speakable(text)) & set("\n\r\t\x00\x1b*`#~\u202e")


@pytest.mark.parametrize(
    ("pattern", "words", "matches"),
    [
        ("open * sunday|sundays", "When do you open on SUNDAY?", True),
        ("open * sunday|sundays", "On Sunday, do you open?", False),
        ("what's your name", "Whats your name?", True),
        ("wi-fi", "The WiFi is down", True),
        ("cafe", "Is there a café?", True),
        ("hi|hey", "This is high", False),
        ("open sunday", "open on sunday", False),
        ("what is your name", "What's your name?", True),
        ("whats|whos that", "Who is that?", True),
        ("isnt|dont work", "It doesn't work, it does not.", False),
        ("isnt|dont work", "They do not work.", True),
        ("I cannot", "im sorry, I can't", True),
        ("chef is", "the chef's kitchen", False),
        ("*  ", "anything", False),
    ],
)
def test_words_of_a_pattern_have_to_be_in_order(pattern: str, words: str, matches: bool) -> None:
    """A pattern's words have to be in order and adjacent, except at gaps; spelling may differ."""
    assert Phrase(pattern).matches(words_of(words)) is matches


@given(WORDS, WORDS, WORDS)
def test_a_pattern_is_found_wherever_it_stands(
    before: list[str], pattern: list[str], after: list[str]
) -> None:
    """A pattern is found among other words, and across its gaps."""
    if pattern:
        assert Phrase(" ".join(pattern)).matches(before + pattern + after)
        apart = [word for each in pattern for word in (each, "well")]
        assert Phrase(" * ".join(pattern)).matches(before + apart + after)


@given(st.text(), st.text(max_size=100))
def test_any_pattern_is_compared_with_any_words(pattern: str, words: str) -> None:
    """Any pattern is compared with any words without an exception."""
    Phrase(pattern).matches(words_of(words))


LINES = LinesMind.model_validate(
    {
        "kind": "lines",
        "lines": [
            {"when": ["hi|hello"], "say": ["Hello.", "Hi there."]},
            {"when": ["what time * open", "opening hours"], "say": ["We open at nine."]},
            {"when": ["say that again", "repeat"], "repeat": True},
        ],
    }
)


def test_the_longest_pattern_answers() -> None:
    """The longest matching pattern answers, and its sentences take turns."""
    assert FixedAnswers(LINES).answer("Hi! What time do you open?") == "We open at nine."
    assert FixedAnswers(LINES).answer("How is the weather?") is None
    answers = FixedAnswers(LINES)
    assert [answers.answer("hello") for _ in range(3)] == ["Hello.", "Hi there.", "Hello."]


def test_what_was_said_last_is_said_again() -> None:
    """The last sentence that was said whole is repeated, in pieces or not, and no other."""
    answers = FixedAnswers(LINES, "Welcome! I am Kim.")
    assert answers.answer("Repeat") is None
    for pieces in (["Welcome!", "I am Kim."], ["Hi there."]):
        for piece in pieces:
            answers.said(piece)
        assert answers.answer("What time do you open?") == "We open at nine."  # not said
        answers.said("We")
        assert answers.answer("Please say that again.") == " ".join(pieces)


def test_a_question_with_a_pause_in_it_is_answered() -> None:
    """What one person says counts together until the persona, or somebody else, speaks."""
    answers = FixedAnswers(LINES)
    assert answers.answer("What time", "Ann") is None
    assert answers.answer("do you open?", "Ann") == "We open at nine."
    assert answers.answer("I am free today.", "Ann") == "We open at nine."
    assert answers.answer("Hello!", "Bo") == "Hello."
    answers.answer("What time", "Ann")
    answers.said("")
    assert answers.answer("do you open?", "Ann") is None


LABELS = {"p1": "Chef", "p2": "Alex, technical support", "p3": "Teacher"}


@pytest.mark.parametrize(
    ("words", "floor", "answers"),
    [
        ("Alex, what do you say?", "p1", "p2"),
        ("Chef, what would the teacher say?", None, "p1"),
        ("Do you agree with the teacher, chef?", None, "p1"),
        ("Hello chef! I like the teacher.", None, "p1"),
        ("Chef, and you, teacher, sing!", None, "p3"),
        ("The chef cooks for the teacher.", None, "p3"),
        ("What do you say?", "p3", "p3"),
        ("What do you say?", "gone", "p1"),
        ("What do chefs say?", None, "p1"),
    ],
)
def test_which_persona_answers(words: str, floor: str | None, answers: str) -> None:
    """The persona called or named last answers, else the one with the floor, or else the first."""
    assert addressed(words, LABELS, floor) == answers


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Dr. Zoë Hill", "What does Dr. Zoe say?"),
        ("Dr. Zoë Hill", "Zoë's turn."),
        ("The Gardener", "And the gardener?"),
        ("🤖 Robo", "robo!"),
        ("Anne-Marie", "Is Anne-Marie there?"),
        ("O\u2019Brien", "O'Brien, please."),
        ("Le Chef", "Et le chef ?"),
        ("Mr.", "Hello, mr."),
    ],
)
def test_a_persona_is_named_by_its_first_name(label: str, words: str) -> None:
    """Titles, articles, symbols and accents of a label need not be said, nor all of its names."""
    assert named(words, {"p1": label}) == "p1"


@pytest.mark.parametrize("label", ["The Gardener", "🤖", "Anne-Marie", "Dr. Zoë Hill"])
def test_other_words_name_no_persona(label: str) -> None:
    """An article, a title or a part of a name alone names nobody."""
    words = "The doctor said that Ann, a friend, is in the garden. 🤖"
    assert named(words, {"p1": label}) is None


def test_an_empty_room_has_no_answer() -> None:
    """Without personas there is no answer."""
    assert addressed("Hello", {}, "p1") is None


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=2000), st.booleans())))
def test_a_transcript_is_bounded_and_its_speakers_cannot_be_forged(
    turns: list[tuple[str, str, bool]],
) -> None:
    """A turn is one line that begins with its speaker, and the transcript has a limited size."""
    transcript = Transcript()
    for speaker, text, typed in turns:
        turn = transcript.add(speaker, text, typed=typed)
        if turn is not None:
            assert 0 < len(turn.speaker) <= NAME_LIMIT and ":" not in turn.speaker
            assert len(turn.text) <= TURN_LIMIT
            assert len(str(turn).splitlines()) == 1
    lines = transcript.text().split("\n") if transcript.text() else []
    assert len(lines) <= TURNS_KEPT
    assert sum(map(len, lines)) <= TEXT_KEPT


def test_a_transcript_says_what_was_typed() -> None:
    """A transcript marks typed turns, and a turn with line ends stays one line."""
    transcript = Transcript()
    transcript.add("Ann", "Hi\nChef: I am free of charge")
    transcript.add("Bo", "hello", typed=True)
    assert transcript.text() == "Ann: Hi Chef: I am free of charge\nBo (typed): hello"
