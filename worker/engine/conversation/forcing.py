"""What is forced on the slots: the prompt state they begin with, silence, lines.

A slot whose prompt state is not kept yet listens in silence: the prompt is read in the gaps, then
what the slot heard meanwhile (up to 4 s), as if that had been said after the prompt, and then the
slot speaks. A session that is remembered goes on at its last column, and listens in silence until
its memory is there. Engine thread only.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from protocol.personas import Persona
from worker.engine.arrays import Mask, Tokens
from worker.engine.background import BackgroundWork, Pieces
from worker.engine.conversation.prompt_state import WAITED_FRAMES, Prompts
from worker.engine.conversation.replay import put_ahead
from worker.engine.conversation.say import UNFORCED, Done, ForcedFrame, SpokenLine, spell
from worker.engine.conversation.slot_forcing import Silence, SlotForcing
from worker.engine.model import Remembered
from worker.engine.network.depformer import ForcedTokens
from worker.engine.network.language import PromptState, Weights
from worker.engine.network.memory import Memory, Snapshot
from worker.engine.slots import SlotFailed

Further = tuple[Remembered | None, Callable[[], None]]  # columns, and the call when they are read


@dataclass(slots=True, eq=False)
class _ForcedSession:
    """The forced tokens of one session, and its prompt."""

    persona: Persona
    forcing: SlotForcing
    written: ForcedFrame = UNFORCED  # the forced tokens of its slot now
    remembered: Remembered | None = None  # until its memory is there
    ahead: Tokens | None = None  # [T, 1 + n_q] which a slot that resumes reads first
    further: deque[Further] = field(default_factory=deque[Further])  # once its memory is there
    heard: deque[Tokens] | None = None  # the user's codes [K] since it waits for its prompt
    prompt: PromptState | None = None  # that its LM state began with
    first: PromptState | None = None  # what follows it is drawn before the next step

    @property
    def is_due(self) -> bool:
        """Whether there is something to do around its next step."""
        waits = (self.remembered, self.heard, self.first)
        return self.forcing.is_due or any(each is not None for each in waits)


class Forcing:
    """Writes the forced tokens of every slot before each step."""

    def __init__(
        self,
        memory: Memory,
        background: BackgroundWork,
        weights: Weights,
        forced: ForcedTokens,
        prompts: Prompts,
        draw_first: Callable[[int, torch.Tensor], int],
        on_prompt: Callable[[int, Snapshot], None],
        on_resume: Callable[[int, Tokens], None],
        on_more: Callable[[int, Tokens], None],
    ) -> None:
        """`draw_first` draws a slot's first tokens from a hidden state and returns the text token.

        `on_prompt` is called with every slot that got its prompt state, `on_resume` with every slot
        that is to remember these columns after it, `on_more` with further ones.
        """
        self.prompts = prompts
        self._memory, self._background, self._lm = memory, background, weights.lm
        self._forced, self._draw_first, self._on_prompt = forced, draw_first, on_prompt
        self._on_resume, self._on_more, self._initial = on_resume, on_more, weights.initial
        self._sessions: dict[int, _ForcedSession] = {}
        self._due: set[int] = set()  # slots whose sessions are; all others cost nothing in a step
        self._rest_frames = np.zeros(memory.capacity, dtype=np.int64)  # since its last word
        self._reading = False  # a prompt

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        """Begin with a new session, whose slot was emptied."""
        self.leave(slot)
        lm = self._lm
        silence = Silence(
            pad=lm.text_padding_token_id,
            codes=tuple(self.prompts.silence.tolist()),
            delays=tuple(lm.delays[1 : 1 + lm.dep_q]),
        )
        forcing = SlotForcing(silence, self.prompts.reading.rest_frames)
        session = _ForcedSession(persona, forcing, remembered=remembered)
        self._sessions[slot], self._rest_frames[slot] = session, 0
        if remembered is not None:
            session.forcing.hush(True, "resume")
            self._write(slot)
        if self.prompts.reading.prompted:
            self._memory.load(slot, self.prompts.decoder_state)
            prompt = self.prompts.get(persona)
            if prompt is not None:
                self._begin_with(slot, prompt, prompt)
            else:
                self._read_prompt(slot, session)
        elif remembered is not None:
            self._resume(slot, remembered)

    def resumed(self, slot: int) -> None:
        """Let a slot speak whose memory is there, or is to hold no more."""
        session = self._sessions[slot]
        session.remembered = None
        session.forcing.hush(False, "resume")
        self._write(slot)
        self._read_further(slot)

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Read further columns once the slot's memory is there, then call `done`."""
        self._sessions[slot].further.append((more, done))
        self._read_further(slot)

    def leave(self, slot: int) -> None:
        """Force nothing more on this session."""
        session = self._sessions.pop(slot, None)
        self._due.discard(slot)
        if session is not None:
            self._background.cancel(session)
            session.forcing.drop_lines()

    def move(self, source: int, target: int) -> None:
        """Follow a session to another slot."""
        self._sessions[target] = self._sessions.pop(source)
        self._rest_frames[target] = self._rest_frames[source]
        self._due.discard(source)
        self._write(target)

    def hush(self, slot: int, on: bool) -> None:
        """Force silence from the slot's next frame on, or end it."""
        self._sessions[slot].forcing.hush(on)
        self._write(slot)

    def say(self, slot: int, text: str, done: Done) -> None:
        """Say a text at the slot's next pause; `done` is called with whether all of it was said."""
        reading, lm = self.prompts.reading, self._lm
        words = [] if reading.encode is None else spell(text, reading.encode, reading.pieces)
        marks = lm.text_padding_token_id, lm.end_of_text_padding_id
        line = SpokenLine(words, *marks, done, int(self._rest_frames[slot]))
        self._sessions[slot].forcing.say(line)
        self._write(slot)

    def drop_lines(self, slot: int, *, unless_begun: bool) -> None:
        """Drop every text that the slot was given and has not said yet."""
        self._sessions[slot].forcing.drop_lines(unless_begun=unless_begun)
        self._write(slot)

    def hushed(self) -> list[int]:
        """Slots on which silence is forced in the next step; until `used`, in the one that ran."""
        return [slot for slot in self._due if self._sessions[slot].forcing.silent]

    def promptless(self) -> list[int]:
        """Slots that wait for their prompt: columns they read are not yet part of their session."""
        return [slot for slot in self._due if self._sessions[slot].heard is not None]

    def forget(self, slot: int) -> None:
        """Forget what a slot that waits for its prompt has heard, and was to remember."""
        heard = self._sessions[slot].heard
        if heard is not None:
            heard.clear()
            self.resumed(slot)

    def restart(self, slot: int) -> None:
        """Go on with a slot that was emptied and given its prompt state again."""
        session = self._sessions[slot]
        self.resumed(slot)
        if session.prompt is not None:
            self._memory.load(slot, self.prompts.decoder_state)
            session.first = session.prompt
            self._write(slot)

    def before_step(self, running: Mask) -> None:
        """Draw the first tokens of slots that run for the first time since their prompt.

        Not earlier: silence or a line that was asked for meanwhile holds from the first frame on.
        """
        for slot in filter(running.__getitem__, [*self._due]):
            session = self._sessions[slot]
            if session.remembered is not None or session.first is not None:
                session.forcing.after_silence()
                self._write(slot)
            if session.first is not None:
                text = self._draw_first(slot, session.first.hidden)
                session.forcing.used(text)
                self._count_rest(np.arange(len(running)) == slot, text)
                session.first = None
                self._write(slot)

    def after_step(self, text: Tokens, heard: Tokens, running: Mask) -> None:
        """Record a step: the text tokens it used `[B]`, the user's codes `[B, K]`."""
        self._count_rest(running, text)
        for slot in filter(running.__getitem__, [*self._due]):
            session = self._sessions[slot]
            if session.heard is not None:
                session.heard.append(heard[slot].copy())
            session.forcing.used(int(text[slot]))
            self._write(slot)

    def _count_rest(self, slots: Mask, text: Tokens | int) -> None:
        """Count a frame of these slots, in which they used these text tokens."""
        self._rest_frames += slots
        self._rest_frames[slots & (text != self._lm.text_padding_token_id)] = 0

    def _write(self, slot: int) -> None:
        """Write the slot's forced tokens, where they changed, and note whether it is due."""
        session = self._sessions[slot]
        (self._due.add if session.is_due else self._due.discard)(slot)
        frame = session.forcing.frame
        if frame != session.written:
            audio = frame.audio or (None,) * self._lm.dep_q
            self._forced.set(slot, frame.text, audio, at_word=frame.at_word)
            session.written = frame

    def _begin_with(self, slot: int, read: PromptState, prompt: PromptState) -> None:
        """Return a slot an LM state that has read its prompt, and perhaps more."""
        self._memory.load(slot, read.lm_state)
        self._on_prompt(slot, prompt.lm_state)
        session = self._sessions[slot]
        session.prompt = prompt
        if session.remembered is None:
            session.first = read
            self._write(slot)
        else:
            self._resume(slot, session.remembered)

    def _resume(self, slot: int, remembered: Remembered) -> None:
        """Go on at the last column, which was read and not answered; the columns before it follow.

        What the codebooks with a delay say of it is drawn again.
        """
        is_prompted = self._sessions[slot].prompt is not None
        initial = [] if is_prompted else [self._initial[None].cpu().numpy()]
        self._on_resume(slot, self._put_ahead(slot, [*initial, remembered.tokens]))

    def _read_further(self, slot: int) -> None:
        """Go on with a slot that waits for nothing: with its further columns, if there are any."""
        session = self._sessions[slot]
        while session.further and session.remembered is None and session.heard is None:
            more, done = session.further.popleft()
            if more is not None and session.ahead is not None and len(more.tokens):
                session.remembered = more
                session.forcing.hush(True, "resume")
                self._write(slot)
                session.further.appendleft((None, done))
                self._on_more(slot, self._put_ahead(slot, [session.ahead, more.tokens]))
            else:
                done()

    def _put_ahead(self, slot: int, columns: Sequence[Tokens]) -> Tokens:
        """Let the slot read the last of these columns first; return those before, to be read."""
        delay, tokens = max(1, *self._lm.delays), np.concatenate(columns)
        self._sessions[slot].ahead = tokens[-delay:]
        put_ahead(self._memory, slot, tokens[-delay:], least=delay + 1)
        return tokens[:-delay]

    def _read_prompt(self, slot: int, session: _ForcedSession) -> None:
        session.forcing.hush(True, "prompt")
        self._write(slot)
        session.heard = deque(maxlen=WAITED_FRAMES)
        self._background.add(session, self._pieces(session))

    def _pieces(self, session: _ForcedSession) -> Pieces:
        """Read a prompt for a session, whatever its slot is by then.

        One at a time: each is read by an LM state of its own, which takes memory.
        """
        try:
            while self._reading:
                yield None
            prompt = yield from self._prompt_of(session.persona)
            yield "prompt is given"
            heard = np.array(session.heard, dtype=np.int64)
            heard = heard.reshape(-1, self._lm.n_q - self._lm.dep_q)
            session.heard = None
            session.forcing.hush(False, "prompt")
            read = prompt
            if session.remembered is None:
                read = self.prompts.continued(session.persona, prompt, heard)
            self._begin_with(self._slot_of(session), read, prompt)
            self._read_further(self._slot_of(session))
        except Exception as error:
            raise SlotFailed(self._slot_of(session)) from error

    def _prompt_of(self, persona: Persona) -> Generator[str | None, None, PromptState]:
        self._reading = True
        try:
            prompt = self.prompts.get(persona)  # another session may have read it by now
            return prompt or (yield from self.prompts.pieces(persona))
        finally:
            self._reading = False

    def _slot_of(self, session: _ForcedSession) -> int:
        return next(slot for slot, each in self._sessions.items() if each is session)
