"""A recording's words as JSON and WebVTT, with times of one clock."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocol.wire import WordTime
from worker.recording.transcript import Segment, Transcript

TIMES = st.floats(0.0, 400_000.0).map(lambda seconds: round(seconds, 3))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def seconds_of(timestamp: str) -> float:
    """Return the seconds of `hh:mm:ss.ttt`."""
    hours, minutes, seconds = timestamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@given(st.lists(st.tuples(TIMES, TIMES, TEXTS, st.booleans()), max_size=8))
def test_json_and_webvtt_have_the_same_segments(said: list[tuple[float, float, str, bool]]) -> None:
    """Both files list all segments by their start, with the same times, whatever the text."""
    transcript = Transcript({"room": "kitchen"})
    for start_s, length_s, text, is_typed in said:
        end_s = round(start_s + length_s, 3)
        transcript.add(Segment(start_s, end_s, "ann", "Ann <3>", "", text, is_typed))
    read = json.loads(transcript.as_json(12.3456))
    cues = transcript.as_webvtt().split("\n\n")
    assert (read["room"], read["duration_s"]) == ("kitchen", 12.346)
    assert sorted(each["text"] for each in read["segments"]) == sorted(each[2] for each in said)
    assert all(one["start_s"] <= two["start_s"] for one, two in pairwise(read["segments"]))
    assert cues.pop(0) == "WEBVTT" if said else cues == ["WEBVTT\n"]
    for cue, segment in zip(cues, read["segments"], strict=False):
        times, text = cue.strip("\n").split("\n")
        start, _, end = times.partition(" --> ")
        assert abs(seconds_of(start) - segment["start_s"]) < 0.001
        assert abs(seconds_of(end) - max(segment["end_s"], segment["start_s"] + 0.5)) < 0.001
        assert text.startswith("<v.typed Ann &lt;3&gt;>" if segment["typed"] else "<v Ann &lt;3")
        assert text.endswith("</v>") and "-->" not in text
    assert len(cues) == (len(said) if said else 1)


def test_words_keep_their_times() -> None:
    """A segment's words keep the recogniser's times."""
    transcript = Transcript({})
    words = (WordTime(text="Good", start_s=1.0, end_s=1.2),)
    transcript.add(Segment(1.0, 1.2, "ann", "Ann", "", "Good", words=words))
    [segment] = json.loads(transcript.as_json(2.0))["segments"]
    assert segment["words"] == [{"text": "Good", "start_s": 1.0, "end_s": 1.2}]
