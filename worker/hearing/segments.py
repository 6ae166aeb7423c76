"""From the text tokens of one person's frames to words with times, and to segments. Pure.

As Kyutai's own client reads them (kyutai-labs/delayed-streams-modeling 6966635
scripts/stt_from_file_pytorch.py): a boundary token ends a word and begins one, and words are late
by the model's delay. A segment ends where the model foretells a pause or no word came for a while.
"""

from collections import deque

from protocol.wire import WordTime, new_segment_id
from worker.engine.recognition.listeners import HeardFrame, Recognition
from worker.frames import FRAME_S
from worker.hearing.recogniser import HeardWords, OnEnd, OnWords, has_word

PAUSE_CHANCE = 0.5  # as in Kyutai's client
PAUSE_FRAMES = 3  # a pause that is foretold for less is one within a sentence
QUIET_S, QUIET_WITHOUT_PAUSES_S = 3.0, 1.2  # without words, a segment ends all the same
LONGEST_WORD_S = 1.0  # after which the word has ended, though the next one begins later
MOST_TOKENS = 25  # of a word; a model that repeats itself never ends one
LONGEST_SEGMENT_S = 30.0  # a longer one ends with its next word


class Segments:
    """The words of one person. Called from one thread."""

    def __init__(self, recognition: Recognition, on_words: OnWords, on_end: OnEnd) -> None:
        self._recognition, self._on_words, self._on_end = recognition, on_words, on_end
        self._tokens: list[int] = []  # of the word that is being said
        self._start_s = 0.0  # of that word
        self._boundary_s: float | None = None  # since the last word, if there was one
        self._words: list[WordTime] = []
        self._is_ended = True  # the last word: its end is known
        self._segment_id = new_segment_id()
        self._paused_frames = 0
        # The pause is foretold from the sound, and words come later by the delay.
        self._patience = max(PAUSE_FRAMES, 1 + round(recognition.delay_s / FRAME_S))
        self._delay = recognition.delay_s / FRAME_S
        # The numbers of the last frames, some of which may have been dropped.
        self._heard = deque(range(-1 - int(self._delay), 0), maxlen=1 + int(self._delay))
        self._quiet_s = QUIET_S if recognition.has_pauses else QUIET_WITHOUT_PAUSES_S

    def take(self, heard: HeardFrame | None) -> None:
        """Take the next frame's token; None: the person has gone."""
        if heard is None:
            self._finish_word(self._start_s + LONGEST_WORD_S)
            self._finish_segment()
            self._on_end()
            return
        end_s = (self._said_in(heard.index) + 1) * FRAME_S
        self._take_token(heard.token, max(0.0, end_s - FRAME_S), max(0.0, end_s))
        is_pause = heard.pause > PAUSE_CHANCE
        self._paused_frames = self._paused_frames + 1 if is_pause else 0
        if self._words and not self._tokens and self._is_over(end_s):
            self._finish_segment()

    def _said_in(self, index: int) -> float:
        """Return the frame in which these words were said: the delay earlier, in heard frames."""
        self._heard.append(index)
        return self._heard[0] - self._delay % 1

    def _take_token(self, token: int, start_s: float, end_s: float) -> None:
        """Take a token whose frame lasted from `start_s` to `end_s`, without the delay."""
        recognition = self._recognition
        if token == recognition.boundary:
            self._finish_word(start_s)
            self._end_last_word(start_s)
            self._boundary_s = end_s
        elif token == recognition.padding:
            self._finish_word(start_s)
        else:
            # Words said fast have no boundary between them.
            if recognition.begins_word(token) or len(self._tokens) == MOST_TOKENS:
                self._finish_word(start_s)
            if not self._tokens:
                self._end_last_word(start_s)
                self._start_s = start_s if self._boundary_s is None else self._boundary_s
                self._boundary_s = None
            self._tokens.append(token)

    def _finish_word(self, end_s: float) -> None:
        """Add the word that was being said; where it ends may become clear later."""
        text = self._recognition.decode(self._tokens).strip() if self._tokens else ""
        self._tokens = []
        if text:
            self._words.append(
                WordTime(text=text, start_s=self._start_s, end_s=max(self._start_s, end_s))
            )
            self._is_ended = False
            self._tell(is_final=False)

    def _end_last_word(self, end_s: float) -> None:
        """Note where the last word ended, at the latest `LONGEST_WORD_S` after its start."""
        if self._words and not self._is_ended:
            last = self._words[-1]
            end_s = max(last.end_s, min(end_s, last.start_s + LONGEST_WORD_S))
            self._words[-1] = last.model_copy(update={"end_s": end_s})
            self._is_ended = True

    def _is_over(self, now_s: float) -> bool:
        first, last = self._words[0], self._words[-1]
        return (
            self._paused_frames >= self._patience
            or now_s - last.end_s >= self._quiet_s
            or last.end_s - first.start_s >= LONGEST_SEGMENT_S
        )

    def _finish_segment(self) -> None:
        if self._words:
            self._tell(is_final=True)
        self._words, self._is_ended, self._segment_id = [], True, new_segment_id()

    def _tell(self, *, is_final: bool) -> None:
        words = tuple(self._words)
        text = " ".join(each.text for each in words)
        if not has_word(text):
            return
        self._on_words(
            HeardWords(
                segment_id=self._segment_id,
                text=text,
                is_final=is_final,
                start_s=words[0].start_s,
                end_s=words[-1].end_s,
                words=words,
            )
        )
