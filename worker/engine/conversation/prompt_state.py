"""Prompt states: a persona's voice and prompt as tokens, read in one pass, kept to be copied.

PersonaPlex is prompted as NVIDIA/personaplex 3428dfd lm.py `step_system_prompts` does: the voice,
6 frames of silence, `<system> text <system>` at one token per frame, 6 frames of silence. All
along the user's channel hears a sine, and outside the text the text is padding. All of it is known
beforehand, so it needs no sampling and no sequence of steps; the first tokens after it are drawn
for each session from the hidden state of the last position.
Moshi has no text prompt and no voices, so it has no prompt states.
Engine thread, or the loading thread before there is an engine.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.prompt import marked, too_long
from worker.engine.arrays import Tokens
from worker.engine.capacity import SILENT_FRAMES, TEXT_TOKENS, longest_prompt, longest_text
from worker.engine.conversation.audio_tokens import decoded_once, encode, silence_codes, sine_codes
from worker.engine.conversation.voices import (
    RecordedVoice,
    SavedVoice,
    Voice,
    longest_of,
    usual_voice,
)
from worker.engine.network.codec import CodecWeights
from worker.engine.network.language import Prefill, PromptState, Weights
from worker.engine.network.memory import Snapshot

# Positions read at a time in the gaps between steps. On CUDA a piece takes the time to read the
# weights once, whatever its positions.
PIECE_FRAMES, PIECE_FRAMES_CUDA = 16, 64
WAITED_FRAMES = 50  # 4 s of what is heard while a prompt is read are kept


@dataclass(frozen=True, slots=True)
class PromptReading:
    """Tokenizer and voices, with which a model reads prompts."""

    encode: Callable[[str], list[int]] | None = None  # text → token ids
    pieces: tuple[str | None, ...] = ()  # token id → piece; None: not text
    prompted: bool = False  # it is of PersonaPlex's kind
    released: bool = False  # its Mimi is the one that Kyutai released
    voices: Mapping[str, Voice] = field(default_factory=dict[str, Voice])
    budget_bytes: int = 512 * 2**20  # for prompt states that are kept
    rest_frames: int = 0  # after a line, in which it begins no word of its own


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt as tokens of frames, and as embeddings where no tokens are known."""

    frames: Tokens  # [P, 1 + n_q]
    embeddings: torch.Tensor | None  # [T, dim] of the first T positions


class Prompts:
    """Prompt states by prompt and voice, those used last within a budget of bytes."""

    def __init__(self, weights: Weights, codec: CodecWeights, reading: PromptReading) -> None:
        self.reading = reading
        self._weights, self._codec, self._lm = weights, codec, weights.lm
        self._delays = np.array(weights.lm.delays)
        self._kept: OrderedDict[tuple[str, str | None], PromptState] = OrderedDict()

    @cached_property
    def silence(self) -> Tokens:
        """The agent's codes of silence, `[dep_q]`."""
        return silence_codes(self._codec, released=self.reading.released)[: self._lm.dep_q]

    @cached_property
    def decoder_state(self) -> Snapshot:
        """Mimi's decoder after the silence that ends a prompt, which upstream plays."""
        return decoded_once(self._codec, self.silence)

    @cached_property
    def _sine(self) -> Tokens:
        codes = sine_codes(self._codec, released=self.reading.released)
        return codes[: self._weights.user_codebooks]

    @property
    def size_bytes(self) -> int:
        """Bytes that the prompt states take."""
        return sum(prompt.lm_state.size_bytes for prompt in self._kept.values())

    @property
    def longest(self) -> int:
        """Frames of the longest prompt."""
        return longest_prompt(self._lm.context or 0, self._voice_frames)

    @property
    def most_tokens(self) -> int:
        """Tokens of the longest text that is read, whatever the voice."""
        return longest_text(self._lm.context or 0, self._voice_frames)

    def check(self, personas: Iterable[Persona]) -> None:
        """Raise `InvalidInput` for a voice of another model, or a prompt that is too long."""
        for name, voice in self.reading.voices.items():
            if isinstance(voice, SavedVoice) and not self._fits(voice):
                raise InvalidInput(f"voice {name}: it was saved for another model")
        context, need = self._lm.context or 0, 2 * SILENT_FRAMES + self._voice_frames
        if 2 * need > context:
            raise InvalidInput(
                f"CONTEXT={context}: the longest voice and its silence take {need} frames, and "
                f"prompts may take half the context; expected at least {2 * need}"
            )
        for persona in personas:
            self._check_text(persona)

    def get(self, persona: Persona) -> PromptState | None:
        """Return the persona's prompt state if it is kept; it is then dropped last."""
        key = self._key(persona)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def read(self, persona: Persona) -> PromptState:
        """Read a persona's prompt now, and keep its state."""
        for _ in self.pieces(persona):
            pass
        return self._kept[self._key(persona)]

    def warm(self, personas: Iterable[Persona]) -> Iterator[str]:
        """Prepare silence, voices and the prompt states of these personas; yield a line at each.

        Raises `InvalidInput` where one of them, or a voice, is not for this model or context.
        """
        self.silence  # noqa: B018  computed here, not at the first hush
        if not self.reading.prompted:
            return
        personas = list(personas)
        self.check(personas)
        self.decoder_state  # noqa: B018  as the silence
        self._codes  # noqa: B018  as the silence
        for persona in personas:
            if self.get(persona) is None:
                size = self.read(persona).lm_state.size_bytes
                yield f"Persona {persona.name} is prepared, {size / 2**20:.1f} MiB"
                if self.size_bytes + size > self.reading.budget_bytes:
                    yield "No room to prepare more personas: the others take a moment to begin"
                    return

    def pieces(self, persona: Persona) -> Generator[str | None, None, PromptState]:
        """Read a prompt in pieces; keep and return its state."""
        yield "prompt begins"
        most = PIECE_FRAMES_CUDA if self._lm.device.type == "cuda" else PIECE_FRAMES
        tokens = self.tokens(persona)
        columns, count = self.columns(tokens.frames), len(tokens.frames)
        prefill = Prefill(self._weights, count)
        first = 0
        if tokens.embeddings is not None:
            first = len(tokens.embeddings)
            for piece in tokens.embeddings.split(most):
                yield "prompt"
                prefill.read_embedded(piece)
        for begin in range(first, count, most):
            yield "prompt"
            prefill.read(columns[begin : min(begin + most, count)])
        yield "prompt ends"
        prompt = prefill.prompt_state(columns[count:])
        self._keep(self._key(persona), prompt)
        return prompt

    def continued(self, persona: Persona, prompt: PromptState, heard: Tokens) -> PromptState:
        """Read on after a prompt: the agent's silence and the user's codes `[T, K]`."""
        frames = self.tokens(persona).frames
        begin = len(frames)
        heard = heard[max(0, begin + len(heard) - (self._lm.context or 0)) :]
        if not len(heard):
            return prompt
        end = begin + len(heard)
        columns = self.columns(np.concatenate([frames, self._silent(heard)]))
        prefill = Prefill(self._weights, end)
        prefill.begin(prompt.lm_state)
        prefill.read(columns[begin:end])
        return prefill.prompt_state(columns[end:])

    def tokens(self, persona: Persona) -> PromptTokens:
        """Return a persona's prompt as tokens. Raises `InvalidInput` where its text is too long."""
        voice, saved = self._voice(self._key(persona)[1])
        quiet = self._silent(np.tile(self._sine, (SILENT_FRAMES, 1)))
        tokens = self._text(persona)
        text = self._silent(np.tile(self._sine, (len(tokens), 1)))
        text[:, 0] = tokens
        return PromptTokens(np.concatenate([voice, quiet, text, quiet]), saved)

    def columns(self, frames: Tokens) -> Tokens:
        """Shift frames `[T, 1 + n_q]` by their delays: the columns, `[T + max delay, 1 + n_q]`.

        Tokens that no frame gives are ungenerated; a session begins with the initial ones.
        """
        count = len(frames) + int(self._delays.max())
        columns = np.full((count, frames.shape[1]), self._lm.ungenerated_token_id, dtype=np.int64)
        initial = self._weights.initial.cpu().numpy()
        for stream, delay in enumerate(self._delays):
            columns[delay : delay + len(frames), stream] = frames[:, stream]
            columns[: delay + 1, stream] = initial[stream]
        return columns

    def _key(self, persona: Persona) -> tuple[str, str | None]:
        voices = self.reading.voices
        voice = persona.voice if persona.voice in voices else usual_voice(voices)
        return persona.prompt, voice

    def _keep(self, key: tuple[str, str | None], prompt: PromptState) -> None:
        self._kept[key] = prompt
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and self.size_bytes > self.reading.budget_bytes:
            self._kept.popitem(last=False)

    def _text(self, persona: Persona) -> list[int]:
        """Return the tokens of the prompt between its marks."""
        text, encode = marked(persona.prompt), self.reading.encode
        tokens = encode(text) if text and encode is not None else []
        if len(tokens) > self.most_tokens:
            raise InvalidInput(too_long(persona.name, len(tokens), self.most_tokens))
        return tokens

    def _check_text(self, persona: Persona) -> None:
        """Raise `InvalidInput` that also says which context would be long enough."""
        try:
            self._text(persona)
        except InvalidInput as error:
            if self.most_tokens == TEXT_TOKENS:
                raise
            whole = 2 * (self._voice_frames + 2 * SILENT_FRAMES + TEXT_TOKENS)
            raise InvalidInput(
                f"CONTEXT={self._lm.context}: {error}, or set CONTEXT={whole}, with which "
                f"{TEXT_TOKENS} are read"
            ) from error

    @cached_property
    def _voice_frames(self) -> int:
        return longest_of(self.reading.voices)

    def _silent(self, user: Tokens) -> Tokens:
        """Return frames in which the agent is silent and the user says these codes `[T, K]`."""
        return self._frames(np.tile(self.silence, (len(user), 1)), user)

    def _frames(self, agent: Tokens, user: Tokens) -> Tokens:
        text = np.full((len(user), 1), self._lm.text_padding_token_id, dtype=np.int64)
        return np.concatenate([text, agent, user], axis=1)

    def _voice(self, name: str | None) -> tuple[Tokens, torch.Tensor | None]:
        """Return a voice's frames `[N, 1 + n_q]`, and its first positions' embeddings if saved."""
        if name is None:
            return np.zeros((0, 1 + self._lm.n_q), dtype=np.int64), None
        voice = self.reading.voices[name]
        if isinstance(voice, RecordedVoice):
            codes = self._codes[name]
            return self._frames(codes, np.tile(self._sine, (len(codes), 1))), None
        return self._saved_frames(voice), voice.embeddings

    @cached_property
    def _codes(self) -> dict[str, Tokens]:
        """Agent codes of the recorded voices, `[N, dep_q]` each."""
        return {
            name: encode(self._codec, voice.pcm)[:, : self._lm.dep_q]
            for name, voice in self.reading.voices.items()
            if isinstance(voice, RecordedVoice)
        }

    def _fits(self, voice: SavedVoice) -> bool:
        lm, ring = self._lm, voice.ring
        needed = (1 + lm.n_q, max(lm.delays) + 2)
        return (
            voice.embeddings.shape[1] == lm.dim
            and (ring.shape[0], min(ring.shape[1], needed[1])) == needed
            and int(ring[1:].max()) <= lm.card
            and int(ring[0].max()) <= lm.text_card
        )

    def _saved_frames(self, voice: SavedVoice) -> Tokens:
        """Return the frames behind a saved voice, as far as its ring holds them; T + 1 in all.

        PersonaPlex's ring has a place more than moshi's, so its tokens are found by position.
        """
        ring = voice.ring
        last = len(voice.embeddings)  # number of the last frame, and the first position not read
        frames = np.full((last + 1, 1 + self._lm.n_q), self._lm.ungenerated_token_id)
        for position in range(last, last + int(self._delays.max()) + 1):
            for stream, delay in enumerate(self._delays):
                if 0 <= position - delay <= last:
                    frames[position - delay, stream] = ring[stream, position % ring.shape[1]]
        return frames
