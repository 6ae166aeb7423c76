"""The results of the talks with the pocket Moshi: judged by two recognisers, and printed.

One recogniser knows only the repertoire, the other is Whisper tiny.en. Both hear what the room
heard, after all talks; their words are compared with the transcript's.
"""

import json
import statistics
from dataclasses import dataclass, field

from bench.open_ears import OpenEars
from training.ears import Ears, spelled, voice_of
from training.repertoire import PERSONA_VOICES
from worker.engine.arrays import Pcm


@dataclass(frozen=True, slots=True)
class Answer:
    """What the room heard of an answer, and what its transcript says."""

    pcm: Pcm
    read: str  # as `spelled` writes it
    backed: bool  # a back-channel was just before it, and stands in the same segment

    def is_right(self, heard: str | None) -> bool:
        """Return whether the sentence that a recogniser heard is the transcript's."""
        if heard is None:
            return False
        return self.read == spelled(heard) or (self.backed and self.read.endswith(spelled(heard)))


@dataclass
class Figures:
    """The results of one person."""

    persona: str
    answers_ms: list[float] = field(default_factory=list)
    silenced_ms: list[float] = field(default_factory=list)
    turns: int = 0
    interruptions: int = 0
    answers: list[Answer] = field(default_factory=list)
    sentences: int = 0
    recognised: int = 0
    written: int = 0  # recognised by Whisper
    right_pitch: int = 0
    pitches: int = 0
    quiet_s: float = 0.0
    backs: int = 0
    false_starts: int = 0
    stills: int = 0


def judge(figures: Figures, ears: Ears, open_ears: OpenEars) -> None:
    """Compare the heard words with the transcripts, and the voices with the persona's."""
    for answer in figures.answers:
        heard, wrote, voice = (each(answer.pcm) for each in (ears.hear, open_ears.hear, voice_of))
        figures.sentences += 1
        figures.recognised += answer.is_right(heard)
        figures.written += answer.is_right(wrote)
        if not (answer.is_right(heard) and answer.is_right(wrote)):
            print(f"{figures.persona}: reads {answer.read!r}, hears {heard!r}, writes {wrote!r}")
        figures.pitches += voice is not None
        figures.right_pitch += voice == PERSONA_VOICES[figures.persona]


def report(all_figures: list[Figures]) -> None:
    """Print a table, then a line of JSON."""
    print(
        f"{'persona':18} {'turns':>5} {'answered':>8} {'ms':>6} {'understood':>10}"
        f" {'by Whisper':>10} {'voice':>7}"
        f" {'stopped':>8} {'ms':>6} {'back':>4} {'false/min':>9} {'still':>5}"
    )
    total, answer, stopped = Figures("all"), 0.0, 0
    for each in [*all_figures, total]:
        stopped = sum(ms <= 500 for ms in each.silenced_ms)
        answer = statistics.median(each.answers_ms) if each.answers_ms else 0.0
        silenced = statistics.median(each.silenced_ms) if each.silenced_ms else 0.0
        false = each.false_starts / max(each.quiet_s / 60, 1e-9)
        print(
            f"{each.persona:18} {each.turns:5} {len(each.answers_ms):8} {answer:6.0f}"
            f" {each.recognised:4} of {each.sentences:<3} {each.written:3} of {each.sentences:<3}"
            f" {each.right_pitch:3} of {each.pitches:<3}"
            f" {stopped:2} of {each.interruptions:<2} {silenced:6.0f} {each.backs:4} {false:9.2f}"
            f" {each.stills:5}"
        )
        if each is not total:
            for name in vars(total):
                if name != "persona":
                    setattr(total, name, getattr(total, name) + getattr(each, name))
    values = vars(total) | {"median_answer_ms": answer, "stopped": stopped}
    print(
        json.dumps(
            {"bench": "talk", **{k: v for k, v in values.items() if not isinstance(v, list)}}
        )
    )
