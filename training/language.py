"""The language model's stage: `LMModel` of moshi 0.2.13 learns dialogues that are composed anew.

A training pass is moshi's own (`LMModel.forward`) with two changes: the depformer runs only where
the agent speaks, and at a tenth of the other frames; and some of the agent's own codes are replaced
by others, as sampling does. Losses count from the end of the prompt.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from moshi.models.lm import LMModel
from moshi.models.lm_utils import _delay_sequence  # moshi's own, not exported
from torch.nn import functional as F

from protocol.config.settings import Settings
from protocol.personas import Persona, load_catalogue
from training.codec import Codec, Place
from training.corpus import Clip, Corpus
from training.dialogue import Composer, Lines, Said
from training.model import mimi_of, new_lm, prompts_of
from training.repertoire import PEOPLE, PERSONA_VOICES, VOICES, Line, Use, lines
from training.run import Losses, Run
from training.sound import FRAME, FRAMES_PER_S, Codes
from training.words import Words
from worker.engine.conversation.audio_tokens import encode
from worker.engine.conversation.prompt_state import Prompts

STEPS, RATE = 2000, 2e-3
BATCH, FRAMES = 8, 300  # dialogues of a batch, frames of each after its prompt
TEXT_WEIGHT = 4.0
SLIPS = 0.04  # of the agent's codes, as it sees them
QUIET_SHARE = 0.1  # of the silent frames at which the depformer is asked
OWN_PROMPT, OTHER_VOICE, FRESH = 0.25, 0.2, 0.7  # how often


@dataclass(frozen=True, slots=True)
class School:
    """The clips, lines and places of which dialogues are composed."""

    said: dict[tuple[str, str], Said]  # (text, voice) → tokens
    understood: frozenset[tuple[str, str]]  # what a recogniser understands as the codec plays it
    places: list[Place]
    prompts: Prompts
    catalogue: dict[str, Persona]
    first_sound: int  # codebook 0 of the first frame of a silent stream

    @property
    def silence(self) -> Codes:
        """The agent's codes of silence."""
        return self.prompts.silence

    def lines(self, persona: str, voice: str) -> Lines:
        """What may be said: its own lines where this is its own voice, and everybody's."""
        own = persona if PERSONA_VOICES.get(persona) == voice else ""
        uses: dict[Use, list[Said]] = {}
        for line in lines():
            if line.persona in ("", own) and self._may(line, voice):
                uses.setdefault(line.use, []).append(self.said[line.text, voice])
        return uses

    def _may(self, line: Line, voice: str) -> bool:
        """What is not understood is not said, but for greetings, which the engine asks for."""
        return line.use is Use.GREETING or (line.text, voice) in self.understood


def said_of(clip: Clip, number: int, codes: Codes, words: Words) -> Said:
    """Return an agents' clip of this number as tokens."""
    frames = tuple(int(at * FRAMES_PER_S) for at in clip.words_s)
    return Said(codes, tuple(words(clip.text)), frames, number)


def school(
    corpus: Corpus, codec: Codec, places: list[Place], folder: Path, ok: list[bool]
) -> School:
    """Gather them."""
    words = Words()
    mimi = mimi_of(folder)
    pairs = zip(corpus.agents, codec.spoken, strict=True)
    return School(
        {
            (clip.text, clip.voice): said_of(clip, number, codes, words)
            for number, (clip, codes) in enumerate(pairs)
        },
        frozenset((c.text, c.voice) for c, good in zip(corpus.agents, ok, strict=True) if good),
        places,
        prompts_of(folder, mimi),
        dict(load_catalogue(Settings().personas_dir)),
        int(encode(mimi, np.zeros(FRAME, np.float32))[0, 0]),
    )


def dialogue(school: School, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens of a prompt and a dialogue `[17, T]`, and whose text counts `[T]`."""
    persona, name, voice = _persona(school, rng)
    opening = school.prompts.tokens(persona).frames.T
    place = rng.choice(school.places)
    composer = Composer(rng, school.lines(name, voice), place, school.silence, FRAMES)
    fresh = rng.random() < FRESH
    made = composer.compose(fresh=fresh)
    talk = np.concatenate([made.text[None], made.agent, made.person])
    if fresh:  # a stream's first frame sounds different: nothing was before it
        talk[9, 0] = school.first_sound
    counts = np.ones(talk.shape[1], dtype=bool)
    counts[made.given] = False
    counts = np.concatenate([np.zeros(opening.shape[1], dtype=bool), counts])
    return np.concatenate([opening, talk], axis=1), counts


def _persona(school: School, rng: random.Random) -> tuple[Persona, str, str]:
    """Return a persona of the catalogue or a made-up prompt; its name and its voice."""
    name = rng.choice(list(PERSONA_VOICES))
    persona = school.catalogue[name]
    if rng.random() < OWN_PROMPT:
        prompt = " ".join(rng.sample(PEOPLE, rng.randint(0, 3)))
        voice = rng.choice(list(VOICES))
        return persona.model_copy(update={"prompt": prompt, "voice": voice}), "", voice
    voice = rng.choice(list(VOICES)) if rng.random() < OTHER_VOICE else PERSONA_VOICES[name]
    return persona.model_copy(update={"voice": voice}), name, voice


def batch(school: School, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens `[B, 17, T]` and which frames count `[B, T]`."""
    made = [dialogue(school, rng) for _ in range(BATCH)]
    longest = max(tokens.shape[1] for tokens, _ in made)
    codes = torch.full((BATCH, 17, longest), -1)
    counts = torch.zeros(BATCH, longest, dtype=torch.bool)
    for row, (tokens, count) in enumerate(made):
        codes[row, :, : tokens.shape[1]] = torch.from_numpy(tokens)
        counts[row, : tokens.shape[1]] = torch.from_numpy(count)
    return codes, counts


@dataclass(slots=True)
class LanguageStage:
    """Trains on one batch after another."""

    school: School
    run: Run

    def step(self, rng: random.Random) -> Losses:
        """One batch."""
        codes, counts = batch(self.school, rng)
        lm = self.run.model
        assert isinstance(lm, LMModel)
        text, audio = losses(lm, codes, counts, torch.from_numpy(self.school.silence))
        loss = TEXT_WEIGHT * text + audio
        self.run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        self.run.optimizer.step()
        return {"text": text.item(), "audio": audio.item()}


def losses(
    lm: LMModel, codes: torch.Tensor, counts: torch.Tensor, silence: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross entropy of text and of the agent's codes, in nats."""
    initial = lm._get_initial_token().expand(len(codes), -1, -1)
    delayed = torch.cat([initial, _delay_sequence(lm.delays, codes, initial)], dim=2)
    wanted = delayed[:, :, 1:]
    misheard = _slipped(delayed, lm)
    hidden, text_logits = lm.forward_text(misheard[:, :, :-1])
    text = F.cross_entropy(text_logits[:, 0][counts], wanted[:, 0][counts])
    agent = wanted[:, 1 : 1 + lm.dep_q]
    speaks = (agent != silence[None, :, None]).any(dim=1)
    asked = counts & (speaks | (torch.rand(counts.shape) < QUIET_SHARE))
    columns = wanted.transpose(1, 2)[asked][:, :, None]
    before = misheard[:, :, 1:].transpose(1, 2)[asked][:, :, None]
    logits = lm.forward_depformer_training(before, hidden[asked][:, None])
    audio = F.cross_entropy(
        logits[:, :, 0].flatten(0, 1), columns[:, 1 : 1 + lm.dep_q, 0].flatten()
    )
    return text, audio


def _slipped(tokens: torch.Tensor, lm: LMModel) -> torch.Tensor:
    """Return the agent's codes, some of which are replaced: it must find back to its line."""
    agent = tokens[:, 1 : 1 + lm.dep_q]
    slips = (torch.rand(agent.shape) < SLIPS) & (agent >= 0) & (agent < lm.card)
    out = tokens.clone()
    out[:, 1 : 1 + lm.dep_q] = torch.where(slips, torch.randint_like(agent, lm.card), agent)
    return out


def language_run(state: Path, steps: int = STEPS) -> Run:
    """Return the stage's run, as far as it has come."""
    torch.manual_seed(0)
    lm = new_lm().train()
    optimizer = torch.optim.AdamW(lm.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.01)
    run = Run("language", state, lm, optimizer, steps, RATE)
    run.resume()
    return run


def train_language(school: School, state: Path, steps: int = STEPS) -> LMModel:
    """Run the stage to its end."""
    run = language_run(state, steps)
    if not run.over:
        run.go(LanguageStage(school, run).step)
    lm = run.model
    assert isinstance(lm, LMModel)
    return lm.eval()
