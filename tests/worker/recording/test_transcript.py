"""A recording's words as JSON and WebVTT, with times of one clock."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.wire import WordTime
from worker.recording.transcript import Segment, cues, entry

TIMES = st.floats(0.0, 400_000.0).map(lambda seconds: round(seconds, 3))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def seconds_of(timestamp: str) -> float:
    """Return the seconds of `hh:mm:ss.ttt`."""
    hours, minutes, seconds = timestamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@given(st.lists(st.tuples(TIMES, TIMES, TEXTS, st.booleans()), max_size=8))
def test_each_entry_has_a_cue_of_its_times(said: list[tuple[float, float, str, bool]]) -> None:
    """Each entry has one cue, with its times and its speaker, whatever the text."""
    entries = [
        entry(Segment(start_s, round(start_s + length_s, 3), "ann", "Ann <3>", "", text, is_typed))
        for start_s, length_s, text, is_typed in said
    ]
    texts = cues(entries).split("\n\n")
    assert [each["text"] for each in entries] == [each[2] for each in said]
    for cue, segment in zip(texts, entries, strict=bool(said)):
        times, text = cue.strip("\n").split("\n")
        start, _, end = times.partition(" --> ")
        assert abs(seconds_of(start) - segment["start_s"]) < 0.001
        assert abs(seconds_of(end) - max(segment["end_s"], segment["start_s"] + 0.5)) < 0.001
        assert text.startswith("<v.typed Ann &lt;3&gt;>" if segment["typed"] else "<v Ann &lt;3")
        assert text.endswith("</v>") and "-->" not in text


def test_words_keep_their_times() -> None:
    """A segment's words keep the recogniser's times."""
    words = (WordTime(text="Good", start_s=1.0, end_s=1.2),)
    said = entry(Segment(1.0, 1.2, "ann", "Ann", "", "Good", words=words))
    assert said["words"] == [{"text": "Good", "start_s": 1.0, "end_s": 1.2}]
