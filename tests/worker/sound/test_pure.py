"""Pure parts of the worker: ring, grid, words, turns, voice activity, admission of jobs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc

from protocol.personas import Persona
from worker.engine.arrays import Pcm
from worker.fleet.admission import HOLD_S, JobAdmission
from worker.frames import FRAME_S, RATE_HZ
from worker.grid import next_tick, until_opening
from worker.room.persona.words import PAUSE_FRAMES, SEGMENT_CHARACTERS, SegmentUpdate, Words
from worker.sound.activity import QUIET_FRAMES, TurnTimer, VoiceActivity
from worker.sound.ring import RING_FRAMES, SETTLE_TICKS, Ring
from worker.sound.voice import FADE_SAMPLES, Voice, faded_in, faded_out

CHEF = Persona(name="chef", label="Chef")


def pcm(value: float) -> Pcm:
    """Return a frame of one value, which tells it from other frames."""
    return np.full(8, value, dtype=np.float32)


def next_value(ring: Ring) -> float | None:
    """Return the value of the ring's next frame."""
    frame = ring.take()
    return None if frame is None else float(frame[0])


class TestRing:
    """A track's ring of frames."""

    def test_an_empty_ring_gives_none(self) -> None:
        """An empty ring gives None each time it is asked."""
        ring = Ring()

        assert [next_value(ring), next_value(ring)] == [None, None]

    def test_a_full_ring_drops_its_oldest_frames(self) -> None:
        """Frames beyond `RING_FRAMES` push the oldest ones out."""
        ring = Ring()
        for value in range(RING_FRAMES + 2):
            ring.put(pcm(value))

        assert [next_value(ring) for _ in range(4)] == [2.0, 3.0, 4.0, None]

    def test_a_frame_that_always_waits_is_dropped(self) -> None:
        """A lag of one frame tick after tick is removed within two seconds."""
        ring = Ring()
        ring.put(pcm(-1))
        lags: list[float] = []
        for tick in range(2 * SETTLE_TICKS):
            ring.put(pcm(tick))
            value = next_value(ring)
            assert value is not None
            lags.append(tick - value)

        assert lags[0] == 1.0
        assert lags[-SETTLE_TICKS:] == [0.0] * SETTLE_TICKS


class TestGrid:
    """The grid of ticks, one each 80 ms."""

    @given(st.floats(0, 1e7))
    def test_ticks_lie_ahead(self, now_s: float) -> None:
        """The next tick is in the future, at most a frame away, and on the grid."""
        tick_s = next_tick(now_s)

        assert 0 < tick_s - now_s <= FRAME_S + 0.001
        assert math.isclose(tick_s / FRAME_S, round(tick_s / FRAME_S), abs_tol=1e-6)

    @given(st.floats(0, 1e6), st.floats(0, 0.079))
    def test_a_stream_opened_at_until_opening_delivers_before_a_tick(
        self, now_s: float, lead_s: float
    ) -> None:
        """A stream that is opened after `until_opening` delivers `lead_s` before a tick."""
        delivers_s = now_s + until_opening(now_s, lead_s) + FRAME_S

        missing_s = (next_tick(delivers_s + lead_s - 0.001)) - (delivers_s + lead_s)
        assert abs(missing_s) < 1e-3


PIECES = (None, "\u2581hello", "\u2581wor", "ld", None, "<0xC3>", "<0xA9>", ".")


def said(words: Words, tokens: list[int]) -> list[SegmentUpdate]:
    """Feed one token a frame; return the updates of segments."""
    return [change for index, token in enumerate(tokens) for change in words.feed(token, index)]


class TestWords:
    """How tokens become words and segments."""

    def test_words_come_as_they_are_said(self) -> None:
        """Each piece is added as text at once, without a space before the first word."""
        added = said(Words(PIECES), [0, 1, 0, 2, 3])

        assert [a.added for a in added] == ["hello", " wor", "ld"]
        assert not added[-1].is_final
        assert (added[-1].text, added[-1].start_s) == ("hello world", 0.08)

    def test_a_segment_begins_with_a_word(self) -> None:
        """A space that is a piece of its own makes no segment, nor begins one."""
        pieces = (None, "\u2581", "<0xC3>", "<0xA9>", "\u2581hello")
        added = said(Words(pieces), [1, *[0] * PAUSE_FRAMES, 1, 2, 3, 4])

        assert [a.added for a in added] == ["\u00e9", " hello"]

    def test_a_pause_ends_a_segment(self) -> None:
        """A segment is final after a pause, with the times of its first and last text frame."""
        changes = said(Words(PIECES), [1, 3] + [0] * PAUSE_FRAMES + [1])

        closed = [c for c in changes if c.is_final]
        assert [(c.text, c.start_s, c.end_s) for c in closed] == [("hellold", 0.0, 0.16)]
        assert changes[0].segment_id != changes[-1].segment_id

    def test_a_segment_ends_with_its_sound(self) -> None:
        """A word sounds for longer than its text takes: until then its segment lasts."""
        words = Words(PIECES)
        words.feed(1, 0)
        fed = [words.feed(0, index, sounds=index < 5) for index in range(1, 11)]

        [closed] = [update for updates in fed for update in updates]
        assert closed.end_s == 0.4

    def test_a_letter_of_several_bytes_appears_once_it_is_complete(self) -> None:
        """A letter that is spelled as byte tokens is added with its last byte."""
        assert [c.added for c in said(Words(PIECES), [5, 6])] == ["\u00e9"]

    def test_a_long_segment_is_cut_at_a_word(self) -> None:
        """Speech without a pause is cut at the start of a word, and no text is lost."""
        tokens = [1] * 100
        words = Words(PIECES)
        changes = said(words, tokens) + words.close()

        texts = [c.text for c in changes if c.is_final]
        assert " ".join(["hello"] * 100) == " ".join(texts)
        assert all(len(text) <= SEGMENT_CHARACTERS + len(" hello") for text in texts)

    @given(st.lists(st.integers(-3, 12), max_size=60))
    def test_added_texts_make_up_the_segments_for_any_tokens(self, tokens: list[int]) -> None:
        """Whatever the tokens, the added texts of a segment join to its final text."""
        words = Words(PIECES)
        changes = said(words, tokens) + words.close()

        added: dict[str, str] = {}
        for change in changes:
            added[change.segment_id] = added.get(change.segment_id, "") + change.added
        closed = {c.segment_id: c.text for c in changes if c.is_final}
        assert added == closed


class TestTurns:
    """The time from a person's end to a persona's answer."""

    def test_an_answer_is_timed_from_the_persons_end(self) -> None:
        """An answer that begins after the end was reported is timed from that end."""
        turns = TurnTimer()
        turns.people_ended(10.0)

        assert turns.persona_started(10.5) == 0.5

    def test_an_answer_before_the_end_is_reported_counts(self) -> None:
        """An answer that begins after the end, but before the VAD reports it, is timed from the
        end."""
        turns = TurnTimer()
        turns.persona_started(10.1)

        assert turns.people_ended(10.0) == pytest.approx(0.1)

    def test_speech_that_began_before_the_persons_end_is_no_answer(self) -> None:
        """A persona that began before the person ended has not answered."""
        turns = TurnTimer()
        turns.persona_started(9.0)

        assert turns.people_ended(10.0) is None

    def test_a_person_who_goes_on_was_not_answered(self) -> None:
        """A person who speaks again before the answer starts no measurement."""
        turns = TurnTimer()
        turns.people_ended(10.0)
        turns.people_started()

        assert turns.persona_started(12.0) is None


def test_speaking_begins_at_once_and_ends_after_a_pause() -> None:
    """A loud frame starts speech; `QUIET_FRAMES` quiet frames end it, and not fewer."""
    activity = VoiceActivity()
    loud, quiet = pcm(0.1), pcm(0.0)

    changes = [activity.push(f) for f in [quiet, loud] + [quiet] * QUIET_FRAMES]

    assert changes == [False, True] + [False] * (QUIET_FRAMES - 1) + [True]
    assert not activity.is_speaking


def test_a_fade_changes_only_10_ms() -> None:
    """A fade starts or ends at zero within 10 ms and does not change its input."""
    frame = np.ones(1920, dtype=np.float32)

    begins, ends = faded_in(frame), faded_out(frame)

    assert (begins[0], begins[FADE_SAMPLES], begins[-1]) == (0.0, 1.0, 1.0)
    assert (ends[0], ends[-FADE_SAMPLES - 1], ends[-1]) == (1.0, 1.0, 0.0)
    assert frame.min() == 1.0


class TestAdmission:
    """Slots that are held for jobs that have not started."""

    def test_a_held_slot_is_not_given_to_a_second_job(self) -> None:
        """A job gets slots only if they are neither occupied nor held for another job."""
        admission = JobAdmission(lambda: 3)

        assert [admission.reserve("a", 2), admission.reserve("b", 2)] == [True, False]
        assert admission.free() == 1

    def test_a_slot_that_a_job_took_is_no_longer_held(self) -> None:
        """A slot that a job took counts as occupied, not also as held."""
        free = [4]
        admission = JobAdmission(lambda: free[0])
        admission.reserve("a", 2)
        seen = [admission.free()]
        for _ in range(3):  # one more than was held
            free[0] -= 1
            admission.took("a")
            seen.append(admission.free())

        assert seen == [2, 2, 2, 1]

    def test_held_slots_of_a_job_that_never_starts_become_free(self) -> None:
        """Slots that were held for `HOLD_S` are free again."""
        now = [0.0]
        admission = JobAdmission(lambda: 2, clock=lambda: now[0])
        admission.reserve("a", 2)
        now[0] = HOLD_S + 0.1

        assert admission.reserve("b", 2)

    def test_a_worker_that_drains_takes_no_job(self) -> None:
        """A closed admission reserves nothing."""
        admission = JobAdmission(lambda: 2)
        admission.open = False

        assert not admission.reserve("a", 1)


async def test_each_gap_makes_a_voices_cushion_larger() -> None:
    """A voice starts with 10 ms of silence, and each gap adds 20 ms, up to 60."""
    voice = Voice(rtc.Room(), "chef")
    lengths_ms = [1000 * len(voice._new_cushion()) // RATE_HZ for _ in range(5)]
    await voice.unpublish()

    assert lengths_ms == [10, 30, 50, 60, 60]
