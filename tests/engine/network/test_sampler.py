"""Tokens are drawn row by row, from upstream's distribution, the same for the same seed."""

import math

import numpy as np
import pytest
import torch
from moshi.modules.transformer import StreamingTransformer
from moshi.utils.compile import no_compile

from protocol.personas import Persona
from protocol.sampling import Sampling
from tests.engine.tiny import TEXT_CARD, tiny_lm, tiny_mimi
from worker.engine.network.memory import Memory
from worker.engine.network.sampler import Sampler, SamplingState, Widths
from worker.engine.step import MoshiStep

CARD = 40


def draw(
    logits: torch.Tensor,
    sampling: Sampling,
    seeds: torch.Tensor,
    offset: int = 0,
    width: int = CARD,
) -> torch.Tensor:
    """Draw a text token from the same logits `[card]` for every seed."""
    rows = Memory(len(seeds), torch.device("cpu")).rows(len(seeds), "sampling")
    sampling_state = SamplingState.of(rows)
    sampler = Sampler(sampling_state, Widths(text=width, audio=width), 8)
    sampling_state.seed.copy_(seeds)
    sampling_state.text_temperature.fill_(sampling.text_temperature)
    sampling_state.text_top_k.fill_(sampling.text_top_k)
    text, _ = sampler.draws(torch.full_like(seeds, offset))
    return text.token(logits.expand(len(seeds), -1), 0)


def expected(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the probabilities of moshi 0.2.13 utils/sampling.py `sample_token`."""
    probs = torch.softmax(logits / sampling.text_temperature, dim=-1)
    best, ids = torch.topk(probs, min(sampling.text_top_k, len(probs)))
    return torch.zeros_like(probs).scatter_(0, ids, best / best.sum())


def assert_fits(tokens: torch.Tensor, probs: torch.Tensor) -> None:
    """Check tokens with Pearson's chi-square test at about one in ten thousand; seeds are fixed."""
    counts = torch.bincount(tokens, minlength=len(probs)).double()
    wanted = probs.double() * len(tokens)
    common = wanted >= 5
    assert counts[wanted == 0].sum() == 0  # nothing from beyond the top-k
    rare = torch.stack([counts[~common].sum(), wanted[~common].sum()])
    chi = ((counts - wanted)[common] ** 2 / wanted[common]).sum()
    chi += (rare[0] - rare[1]) ** 2 / rare[1].clamp(min=5.0)
    freedom = int(common.sum())
    assert float(chi) < freedom + 3.7 * math.sqrt(2 * freedom) + 5


def test_tokens_have_upstreams_distribution() -> None:
    """Tokens of many seeds have the probabilities from which upstream samples."""
    logits = torch.randn(CARD, generator=torch.Generator().manual_seed(0)) * 2
    sampling = Sampling(text_temperature=0.7, text_top_k=25)

    assert_fits(draw(logits, sampling, torch.arange(40_000)), expected(logits, sampling))


def test_tokens_of_one_seed_have_upstreams_distribution() -> None:
    """Tokens of one seed over many frames have the probabilities from which upstream samples."""
    logits = torch.randn(CARD, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(text_temperature=1.3, text_top_k=CARD)
    rows = Memory(20_000, torch.device("cpu")).rows(20_000, "sampling")
    sampling_state = SamplingState.of(rows)
    sampler = Sampler(sampling_state, Widths(text=CARD, audio=CARD), 8)
    sampling_state.seed.fill_(4711)
    sampling_state.text_temperature.fill_(1.3)
    sampling_state.text_top_k.fill_(CARD)
    text, _ = sampler.draws(torch.arange(20_000))

    assert_fits(text.token(logits.expand(20_000, -1), 0), expected(logits, sampling))


def test_streams_of_one_frame_are_drawn_independently() -> None:
    """The random numbers of text and of each codebook are uniform and uncorrelated."""
    rows = Memory(20_000, torch.device("cpu")).rows(20_000, "sampling")
    sampling_state = SamplingState.of(rows)
    sampling_state.seed.copy_(torch.arange(20_000))
    sampling_state.text_temperature.fill_(1.0)
    sampling_state.audio_temperature.fill_(1.0)
    sampler = Sampler(sampling_state, Widths(text=CARD, audio=CARD), 8)
    text, audio = sampler.draws(torch.full((20_000,), 9))
    chances = torch.cat([text.chance, audio.chance], dim=1).double().numpy()

    apart = np.corrcoef(chances.T) - np.eye(9)
    assert np.abs(apart).max() < 5 / math.sqrt(20_000)
    np.testing.assert_allclose(chances.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_allclose(chances.var(axis=0), 1 / 12, atol=0.003)


def test_temperature_zero_draws_the_best_token() -> None:
    """At temperature 0 the best token is drawn, whatever the seed and the top-k."""
    logits = torch.randn(CARD, generator=torch.Generator().manual_seed(2))
    tokens = draw(logits, Sampling(text_temperature=0.0, text_top_k=7), torch.arange(500))

    assert tokens.unique().tolist() == [int(logits.argmax())]


def test_a_draw_does_not_depend_on_other_rows_top_k() -> None:
    """A row's tokens are the same however many candidates another row asks for."""
    logits = torch.randn(CARD, generator=torch.Generator().manual_seed(3))
    sampling, seeds = Sampling(text_temperature=0.9, text_top_k=10), torch.arange(5_000)

    narrow = draw(logits, sampling, seeds, width=10)
    assert torch.equal(narrow, draw(logits, sampling, seeds, width=CARD))


def test_each_frame_is_another_draw() -> None:
    """Draws of two frames with the same seed are equal no more often than by chance."""
    logits = torch.zeros(CARD)
    sampling, seeds = Sampling(text_temperature=1.0, text_top_k=CARD), torch.arange(2_000)
    same = draw(logits, sampling, seeds, 3) == draw(logits, sampling, seeds, 4)

    assert abs(float(same.float().mean()) - 1 / CARD) < 0.02


@pytest.mark.slow
def test_first_frame_has_upstreams_distribution() -> None:
    """A step draws the first text, then the first code given it, with upstream's probabilities."""
    sampling = Sampling(text_temperature=0.8, text_top_k=20, audio_temperature=0.7, audio_top_k=6)
    step = MoshiStep(tiny_lm(), tiny_mimi(), 256)
    pcm, mask = np.zeros((256, 1920), dtype=np.float32), np.ones(256, dtype=np.bool_)
    texts: list[torch.Tensor] = []
    codes: list[torch.Tensor] = []
    for round_ in range(8):
        for slot in range(256):
            persona = Persona(
                name="drawn",
                label="Drawn",
                sampling=sampling.model_copy(update={"seed": 1000 * round_ + slot}),
            )
            step.join(slot, persona)
        step.run(pcm, mask)
        step.run(pcm, mask)  # reads what the first step drew
        texts.append(torch.from_numpy(step.columns[:, 0].copy()))
        codes.append(torch.from_numpy(step.columns[:, 1].copy()))

    text_probs, code_probs = first_frame(sampling)
    assert_fits(torch.cat(texts), text_probs)
    assert_fits(torch.cat(codes), code_probs)


@torch.no_grad()
def first_frame(sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Return upstream's probabilities of the first text token, and of the first code."""
    lm = tiny_lm()
    initial = torch.tensor([lm.text_initial_token_id, *[lm.initial_token_id] * 16])
    assert isinstance(lm.depformer, StreamingTransformer)
    with no_compile(), lm.streaming(1):
        hidden, logits = lm.forward_text(initial[None, :, None])
        text_probs = expected(logits[0, 0, 0], sampling)
        code_probs = torch.zeros(lm.card)
        audio = Sampling(
            text_temperature=sampling.audio_temperature, text_top_k=sampling.audio_top_k
        )
        for text in range(TEXT_CARD):
            with lm.depformer.streaming(1):
                code_logits = lm.forward_depformer(0, torch.tensor([[[text]]]), hidden)
            code_probs += text_probs[text] * expected(code_logits[0, 0, 0], audio)
    return text_probs, code_probs
