"""The talker's language model: weights, made by hand, that talk and pause in turns.

The clock is agent codebook 0: its token says where in the talk or in the pause we are, and at which
pitch. Each state has an axis of its own in the residual stream, the branches of the transformer
write to other axes only, and the heads read log-probabilities off the axes: a Markov chain, inside
real attention. Words, timbre and pitch also hear those other axes, so what was heard and said
changes them. Pure: numpy, a fixed seed. Names and shapes: `loaders.get_moshi_lm` (moshi 0.2.13).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.talker.codec import (
    CARD,
    CODE,
    CODEBOOKS,
    PITCHES_HZ,
    SYLLABLE,
    VOWELS_HZ,
    Array,
    Weights,
    tone,
)

EPAD, PAD = 0, 3  # text ids, as in Moshi
DIM, DEP_DIM, HEADS, DEP_HEADS, LAYERS, CONTEXT = 192, 128, 4, 2, 2, 250
HIDDEN_SCALE, DEP_HIDDEN = 4.125, 256

# The clock, in frames of 80 ms. A turn may end from `_OPEN` on and must end at its last phase.
TALK, PAUSE = 36, 36
TALK_OPEN, PAUSE_OPEN = 16, 13
STAY = 0.1  # chance that a phase lasts one frame more
TALK_ENDS, PAUSE_ENDS = 0.06, 0.12  # chance per frame, once it may
FIRST_PHASE = TALK + 24  # a new session begins about a second before it speaks
WORD_EVERY = len(SYLLABLE)  # phases; a word opens each syllable group
WISHES = 0.25  # chance per frame of forced silence that it would begin to speak
YIELDING = 3.4  # log odds by which a voice that is heard favours the pause

PITCHES = len(PITCHES_HZ)
HELD = TALK + PAUSE  # the phase of silence that was forced: it wants to speak, and begins when let
PHASES = TALK + PAUSE + 1
SILENCE = TALK * PITCHES  # what silence is encoded to; the model itself never says it
USED = SILENCE + 1 + PAUSE  # ids of codebook 0: talk by phase and pitch, silence, then pauses

# Axes of the residual stream; the depformer's begin alike.
PITCH_AXIS = PHASES
ONE_AXIS, HEARD_AXIS = PHASES + PITCHES, PHASES + PITCHES + 1
DEP_FREE = HEARD_AXIS + 1
TEXT_AXIS = HEARD_AXIS + 1  # end of padding, word, padding
FREE = TEXT_AXIS + 3
CLOCK, MELODY = 3.0, 2.0  # how long the vectors along these axes are

TEMPERATURE, TEXT_TEMPERATURE = 0.8, 0.7  # upstream's defaults, at which the odds hold exactly
NEVER, IMPOSSIBLE = -16.0, -30.0
BRANCH = 0.1  # how loud attention and gating speak on the free axes

Odds = npt.NDArray[np.float64]


def phase_of(token: int) -> int:
    """The phase of a token of codebook 0: below `TALK` talk, `HELD` silence, else pause."""
    if token < TALK * PITCHES:
        return token // PITCHES
    if token == SILENCE:
        return HELD
    return TALK + token - SILENCE - 1 if token < USED else TALK


def lm_config(text_card: int) -> dict[str, Any]:
    """The language model's part of config.json."""
    return {
        "card": CARD,
        "n_q": 2 * CODEBOOKS,
        "dep_q": CODEBOOKS,
        "delays": [0, *[0, 1, 1, 1, 1, 1, 1, 1] * 2],
        "dim": DIM,
        "text_card": text_card,
        "existing_text_padding_id": PAD,
        "num_heads": HEADS,
        "num_layers": LAYERS,
        "hidden_scale": HIDDEN_SCALE,
        "causal": True,
        "layer_scale": None,
        "context": CONTEXT,
        "max_period": 10_000,
        "gating": "silu",
        "norm": "rms_norm_f32",
        "positional_embedding": "rope",
        "depformer_dim": DEP_DIM,
        "depformer_dim_feedforward": DEP_HIDDEN,
        "depformer_num_heads": DEP_HEADS,
        "depformer_num_layers": 1,
        "depformer_layer_scale": None,
        "depformer_multi_linear": True,
        "depformer_context": CODEBOOKS,
        "depformer_max_period": 10_000,
        "depformer_gating": "silu",
        "depformer_pos_emb": "none",
        "depformer_weights_per_step": True,
    }


def voices(rng: np.random.Generator) -> Array:
    """Return the sound of each token of codebook 0, `[CARD, CODE]`; a pause is silent."""
    vowels = rng.integers(len(VOWELS_HZ), size=TALK // WORD_EVERY)
    sounds = np.zeros((CARD, CODE), np.float32)
    for token in range(TALK * PITCHES):
        phase, pitch = divmod(token, PITCHES)
        vowel = int(vowels[phase // WORD_EVERY])
        sounds[token, tone(pitch, vowel)] = SYLLABLE[phase % WORD_EVERY]
    return sounds


def lm_weights(text_card: int, words: Sequence[int], rng: np.random.Generator) -> Weights:
    """All weights of the language model; `words` are the text ids that it may say."""
    weights = _embeddings(text_card, words, rng)
    for layer in range(LAYERS):
        weights |= _attention(f"transformer.layers.{layer}", DIM, FREE, 1, rng)
        hidden = 2 * int(HIDDEN_SCALE * DIM) // 3
        weights |= _gating(f"transformer.layers.{layer}.gating", DIM, FREE, hidden, rng)
    weights["out_norm.alpha"] = np.full((1, 1, DIM), 0.415, np.float32)  # undoes the usual norm
    weights["text_linear.weight"] = _text_head(text_card, words, rng)
    return weights | _depformer(text_card, rng)


def _embeddings(text_card: int, words: Sequence[int], rng: np.random.Generator) -> Weights:
    """Return each token's share of the residual stream; row `card` precedes the first token."""
    weights: Weights = {}
    for book in range(2 * CODEBOOKS):
        weights[f"emb.{book}.weight"] = _free_noise(rng, CARD + 1, DIM, FREE, length=0.3)
    clock = weights["emb.0.weight"]
    clock[:, ONE_AXIS] = CLOCK
    for token in range(CARD + 1):
        clock[token, FIRST_PHASE if token == CARD else phase_of(token)] = CLOCK
        if token < TALK * PITCHES:
            clock[token, PITCH_AXIS + token % PITCHES] = MELODY
    heard = weights[f"emb.{CODEBOOKS}.weight"]
    heard *= 4.0
    heard[: TALK * PITCHES, HEARD_AXIS] = 2.0
    text = _free_noise(rng, text_card + 1, DIM, FREE, length=0.5)
    text[EPAD, TEXT_AXIS] = text[PAD, TEXT_AXIS + 2] = text[text_card, TEXT_AXIS + 2] = 2.0
    text[list(words), TEXT_AXIS + 1] = 2.0
    weights["text_emb.weight"] = text
    return weights


def _free_noise(
    rng: np.random.Generator, rows: int, dim: int, free: int, *, length: float
) -> Array:
    """Random vectors `[rows, dim]` of about this length, zero outside the free axes."""
    noise = np.zeros((rows, dim), np.float32)
    noise[:, free:] = rng.standard_normal((rows, dim - free)) * length / np.sqrt(dim - free)
    return noise


def _attention(name: str, dim: int, free: int, steps: int, rng: np.random.Generator) -> Weights:
    """Real attention over everything, heard on the free axes only; `steps` copies stacked."""
    out = np.zeros((steps, dim, dim), np.float32)
    out[:, free:] = rng.standard_normal((steps, dim - free, dim)) * BRANCH / np.sqrt(dim)
    into = rng.standard_normal((steps * 3 * dim, dim)) / np.sqrt(dim)
    return {
        f"{name}.self_attn.in_proj_weight": into.astype(np.float32),
        f"{name}.self_attn.out_proj.weight": out.reshape(steps * dim, dim),
        f"{name}.norm1.alpha": np.ones((1, 1, dim), np.float32),
        f"{name}.norm2.alpha": np.ones((1, 1, dim), np.float32),
    }


def _gating(name: str, dim: int, free: int, hidden: int, rng: np.random.Generator) -> Weights:
    out = np.zeros((dim, hidden), np.float32)
    out[free:] = rng.standard_normal((dim - free, hidden)) * BRANCH / np.sqrt(hidden)
    into = rng.standard_normal((2 * hidden, dim)) / np.sqrt(dim)
    return {
        f"{name}.linear_in.weight": into.astype(np.float32),
        f"{name}.linear_out.weight": out,
    }


def _text_head(text_card: int, words: Sequence[int], rng: np.random.Generator) -> Array:
    """Padding in the pause; in the talk end-of-padding, then a word, then padding, and again."""
    head = np.zeros((text_card, DIM))
    head[:, ONE_AXIS] = IMPOSSIBLE * 2
    head[[EPAD, PAD, *words], ONE_AXIS] = 0.0
    head[EPAD, :TALK] = NEVER
    head[EPAD, :TALK:WORD_EVERY] = 2.2 * TEXT_TEMPERATURE
    head[EPAD, TALK:PHASES] = head[list(words), TALK:PHASES] = IMPOSSIBLE * 2
    head[EPAD, HELD] = np.log(WISHES / (1 - WISHES)) * TEXT_TEMPERATURE
    after_epad, after_word, after_pad = range(TEXT_AXIS, TEXT_AXIS + 3)
    head[EPAD, [after_epad, after_word]] = NEVER
    for word in words:
        head[word, after_epad] = -NEVER
        head[word, [after_word, after_pad]] = NEVER
        head[word, :TALK] += rng.standard_normal(TALK) * TEXT_TEMPERATURE
        head[word, PITCH_AXIS : PITCH_AXIS + PITCHES] += rng.standard_normal(PITCHES)
    head = head / _lengths(DIM)
    head[np.ix_(list(words), range(FREE, DIM))] = (
        rng.standard_normal((len(words), DIM - FREE)) * 0.5
    )
    return head.astype(np.float32)


def _lengths(dim: int) -> Odds:
    """How long the stream is along each axis, to turn log odds into weights."""
    lengths = np.ones(dim)
    lengths[:PHASES] = lengths[ONE_AXIS] = CLOCK
    lengths[PITCH_AXIS : PITCH_AXIS + PITCHES] = lengths[HEARD_AXIS] = MELODY
    if dim == DIM:
        lengths[TEXT_AXIS:FREE] = MELODY
    return lengths


def _depformer(text_card: int, rng: np.random.Generator) -> Weights:
    """The small transformer over codebooks: codebook 0 by the clock, the others after it."""
    weights: Weights = {}
    keep = np.eye(DEP_FREE, DIM, dtype=np.float32)
    for book in range(CODEBOOKS):
        blur = rng.standard_normal((DEP_DIM - DEP_FREE, DIM)) * 0.5 / np.sqrt(DIM - FREE)
        blur[:, :FREE] = 0.0
        weights[f"depformer_in.{book}.weight"] = np.vstack([keep, blur.astype(np.float32)])
        head = _clock_head(rng) if book == 0 else _timbre_head(rng)
        weights[f"linears.{book}.weight"] = (head / _lengths(DEP_DIM)).astype(np.float32)
        name = f"depformer.layers.0.gating.{book}"
        weights |= _gating(name, DEP_DIM, DEP_FREE, 2 * DEP_HIDDEN // 3, rng)
    for book in range(CODEBOOKS - 1):
        before = _free_noise(rng, CARD + 1, DEP_DIM, DEP_FREE, length=1.0)
        weights[f"depformer_emb.{book}.weight"] = before
    said = _free_noise(rng, text_card + 1, DEP_DIM, DEP_FREE, length=1.0)
    weights["depformer_text_emb.weight"] = said
    return weights | _attention("depformer.layers.0", DEP_DIM, DEP_FREE, CODEBOOKS, rng)


def _clock_head(rng: np.random.Generator) -> Odds:
    """Log odds `[CARD, DEP_DIM]` of the next token of codebook 0."""
    head = np.zeros((CARD, DEP_DIM))
    turns, melody = _turns(), _melody()
    mood = rng.standard_normal((PITCHES, DEP_DIM - DEP_FREE)) * 0.3
    for token in range(USED):
        head[token, :PHASES] = turns[:, phase_of(token)]
        if token < TALK * PITCHES:
            head[token, PITCH_AXIS : PITCH_AXIS + PITCHES] = melody[:, token % PITCHES]
            head[token, DEP_FREE:] = mood[token % PITCHES]
        else:
            head[token, HEARD_AXIS] = YIELDING * TEMPERATURE
    head[[SILENCE, *range(USED, CARD)], ONE_AXIS] = IMPOSSIBLE * 2
    return head


def _turns() -> Odds:
    """Log odds `[from, to]` between phases."""
    odds = np.zeros((PHASES, PHASES))
    for start, length, opens, ends, other in (
        (0, TALK, TALK_OPEN, TALK_ENDS, TALK),
        (TALK, PAUSE, PAUSE_OPEN, PAUSE_ENDS, 0),
    ):
        for phase in range(start, start + length - 1):
            leave = ends if phase - start >= opens else 0.0
            odds[phase, other] = leave
            odds[phase, phase] = STAY * (1 - leave)
            odds[phase, phase + 1] = (1 - STAY) * (1 - leave)
        odds[start + length - 1, other] = 1.0
    odds[HELD, 0] = 1.0
    odds[TALK:, :TALK] /= PITCHES  # the first note of a turn is any of them
    return np.log(np.maximum(odds, np.exp(NEVER / TEMPERATURE))) * TEMPERATURE


def _melody() -> Odds:
    """Log odds `[from, to]` between pitches: notes are held, and move by one step."""
    steps = np.abs(np.subtract.outer(range(PITCHES), range(PITCHES)))
    odds = np.select([steps == 0, steps == 1], [0.8, 0.1], 0.005)
    return np.log(odds / odds.sum(axis=1, keepdims=True)) * TEMPERATURE


def _timbre_head(rng: np.random.Generator) -> Odds:
    """Log odds `[CARD, DEP_DIM]` of an acoustic codebook: token 0 in the pause, any in the talk."""
    head = np.zeros((CARD, DEP_DIM))
    head[1:, TALK:PHASES] = IMPOSSIBLE
    head[0, :TALK] = NEVER
    head[1:, :TALK] = rng.standard_normal((CARD - 1, TALK))
    head[1:, DEP_FREE:] = rng.standard_normal((CARD - 1, DEP_DIM - DEP_FREE))
    return head
