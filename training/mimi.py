"""The codec written down as weights of a Mimi: what `analysis.py` and `codebooks.py` computed.

A Mimi is convolutions with an ELU between them. A large bias before each ELU, taken away after it,
makes the waveform's way exact and linear; only loudness is bent by it. Where a transposed
convolution has one bias for all its taps, a channel that is always one carries what each tap must
take away. Names and shapes are those of `loaders.get_mimi` (moshi 0.2.13). Whole numbers are kept
as int8 and large matrices as float16: moshi turns both into float32 when it loads.
"""

import torch

from training.analysis import PHASES, SATURATION, Analysis, emphasis, filters, plain
from training.codebooks import Codebooks
from training.codec_config import (
    BANDS,
    BLOCK,
    BLOCK_CHANNELS,
    CARD,
    CODEBOOKS,
    FILTERS,
    FRAME_LOUDNESS,
    HALF_CHANNELS,
    HALF_WAVE,
    LATENT,
    QUARTER_CHANNELS,
    SCALES,
    SLICE,
    SLICE_CHANNELS,
    SLICE_LOUDNESS,
    SLICE_WAVE,
    WAVE,
)

Weights = dict[str, torch.Tensor]

SOUND_LIFT, INNER_LIFT = 2.0, 32.0  # above what sound and coordinates reach, so no ELU bends them
QUARTER_WAVE = 2 * SLICE_WAVE  # 312
HALF_INNER = 4 * SLICE_WAVE  # 624


def mimi_weights(analysis: Analysis, waves: Codebooks, sounds: torch.Tensor) -> Weights:
    """Return all weights; `waves` are codebooks 1 to 7, `sounds` is codebook 0."""
    weights = _encoder(analysis) | _decoder(analysis) | _quantizer(analysis, waves, sounds)
    for side in ("encoder", "decoder"):
        weights |= _no_layer(f"{side}_transformer.transformer.layers.0")
    return weights


def _conv(name: str, weight: torch.Tensor, bias: torch.Tensor) -> Weights:
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _encoder(analysis: Analysis) -> Weights:
    first = torch.zeros(FILTERS, 1, 2)
    first[0, 0, -1] = 1
    lift = torch.zeros(FILTERS)
    lift[0] = SOUND_LIFT
    quarters, quarters_lift = _gather(QUARTER_CHANNELS, SLICE_CHANNELS, SLICE_WAVE)
    halves, halves_lift = _gather(HALF_CHANNELS, QUARTER_CHANNELS, QUARTER_WAVE)
    quarters_lift[QUARTER_WAVE : QUARTER_WAVE + SLICE_LOUDNESS] = 2
    return {
        **_conv("encoder.model.0.conv.conv", first, lift),
        **_blocks(),
        **_slices(analysis),
        **_conv("encoder.model.6.conv.conv", quarters, quarters_lift),
        **_conv("encoder.model.8.conv.conv", halves, halves_lift),
        **_latents(analysis),
        "downsample.conv.conv.conv.weight": _down(analysis),
    }


def _blocks() -> Weights:
    """24 kHz → 1 kHz: 24 samples, and 2 ms through each filter of a band."""
    weight = torch.zeros(BLOCK_CHANNELS, FILTERS, 2 * BLOCK)
    here = torch.arange(BLOCK)
    weight[here, 0, BLOCK + here] = 1
    heard = slice(BLOCK, BLOCK + BANDS * PHASES)
    weight[heard, 0] = filters()
    weight = weight.half()
    bias = torch.zeros(BLOCK_CHANNELS)
    bias[heard] = -SOUND_LIFT * weight[heard, 0].float().sum(dim=1)
    return _conv("encoder.model.2.conv.conv", weight, bias)


def _slices(analysis: Analysis) -> Weights:
    """1 kHz → 100 Hz: coordinates of a slice, and the loudness of its bands."""
    blocks = SLICE // BLOCK
    weight = torch.zeros(SLICE_CHANNELS, BLOCK_CHANNELS, 2 * blocks)
    basis = (analysis.slices @ emphasis()).half().float()
    weight[:SLICE_WAVE, :BLOCK, blocks:] = basis.reshape(-1, blocks, BLOCK).transpose(1, 2)
    bias = torch.zeros(SLICE_CHANNELS)
    bias[:SLICE_WAVE] = INNER_LIFT - SOUND_LIFT * basis.sum(dim=1)
    for scale in range(SCALES):
        for band in range(BANDS):
            heard = BLOCK + band * PHASES
            row = SLICE_WAVE + scale * BANDS + band
            weight[row, heard : heard + PHASES, blocks:] = -SATURATION[scale] / (blocks * PHASES)
    return _conv("encoder.model.4.conv.conv", weight.half(), bias)


def _gather(rows: int, channels: int, wave: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pieces of waveform side by side, and the sum of their loudness; int8."""
    weight = torch.zeros(rows, channels, 4, dtype=torch.int8)
    here = torch.arange(wave)
    for piece in range(2):
        weight[piece * wave + here, here, 2 + piece] = 1
    loud = torch.arange(SLICE_LOUDNESS)
    weight[2 * wave + loud, wave + loud, 2:] = 1
    return weight, torch.zeros(rows)


def _latents(analysis: Analysis) -> Weights:
    """Coordinates of a half, without the lift, and the mean loudness of its four slices."""
    weight = torch.zeros(LATENT, HALF_CHANNELS, 1)
    weight[:HALF_WAVE, :HALF_INNER, 0] = analysis.halves
    loud = torch.arange(SLICE_LOUDNESS)
    weight[HALF_WAVE + loud, HALF_INNER + loud, 0] = 0.25
    weight = weight.half()
    bias = -INNER_LIFT * weight[:, :, 0].float().sum(dim=1)
    bias[HALF_WAVE:] = -1
    return _conv("encoder.model.10.conv.conv", weight, bias)


def _down(analysis: Analysis) -> torch.Tensor:
    """25 Hz → 12.5 Hz: coordinates of a frame, in steps; the loudness of both halves. int8."""
    weight = torch.zeros(LATENT, LATENT, 4, dtype=torch.int8)
    loud = torch.arange(SLICE_LOUDNESS)
    whole = (analysis.frames / _steps(analysis)[:, None]).round().to(torch.int8)
    for half, frames in enumerate(whole.split(HALF_WAVE, dim=1)):
        weight[:WAVE, :HALF_WAVE, 2 + half] = frames
        weight[WAVE + half * SLICE_LOUDNESS + loud, HALF_WAVE + loud, 2 + half] = 1
    return weight


def _steps(analysis: Analysis) -> torch.Tensor:
    """What a coordinate's weights of int8 are counted in `[WAVE]`."""
    return analysis.frames.abs().amax(dim=1) / 127


def _decoder(analysis: Analysis) -> Weights:
    up = torch.zeros(LATENT, 1, 4)
    up[:, 0, 0] = 1  # a frame's latent stands at its first half; the second half looks back
    last = torch.zeros(1, FILTERS, 1)
    last[0, 0] = 1
    samples = torch.zeros(BLOCK_CHANNELS, FILTERS, 2 * BLOCK, dtype=torch.int8)
    here = torch.arange(BLOCK)
    samples[here, 0, here] = 1
    return {
        "upsample.convtr.convtr.convtr.weight": up,
        **_halves(analysis),
        **_scatter("decoder.model.2.convtr.convtr", HALF_CHANNELS, QUARTER_WAVE),
        **_scatter("decoder.model.4.convtr.convtr", QUARTER_CHANNELS, SLICE_WAVE),
        **_played(analysis),
        **_conv("decoder.model.8.convtr.convtr", samples, torch.zeros(FILTERS)),
        **_conv("decoder.model.10.conv.conv", last, torch.tensor([-SOUND_LIFT])),
    }


def _halves(analysis: Analysis) -> Weights:
    """A frame's coordinates → those of the slices of its halves, lifted; and the one."""
    weight = torch.zeros(HALF_CHANNELS, LATENT, 2)
    for half, frames in enumerate(analysis.frames.split(HALF_WAVE, dim=1)):
        weight[:HALF_INNER, :WAVE, 1 - half] = (frames @ analysis.halves).T
    bias = torch.zeros(HALF_CHANNELS)
    bias[:HALF_INNER], bias[HALF_INNER] = INNER_LIFT, 1
    return _conv("decoder.model.0.conv.conv", weight.half(), bias)


def _scatter(name: str, channels: int, wave: int) -> Weights:
    """The two pieces one after the other; the one goes along. int8."""
    weight = torch.zeros(channels, channels // 2, 4, dtype=torch.int8)
    here = torch.arange(wave)
    for piece in range(2):
        weight[piece * wave + here, here, piece] = 1
    weight[2 * wave, wave, :2] = 1
    return _conv(name, weight, torch.zeros(channels // 2))


def _played(analysis: Analysis) -> Weights:
    """100 Hz → 1 kHz: a slice's samples, 24 at a time; the one takes away the lift."""
    blocks = SLICE // BLOCK
    basis = analysis.slices @ plain().T  # [SLICE_WAVE, SLICE]
    weight = torch.zeros(SLICE_CHANNELS, BLOCK_CHANNELS, 2 * blocks)
    weight[:SLICE_WAVE, :BLOCK, :blocks] = basis.reshape(-1, blocks, BLOCK).transpose(1, 2)
    lift = SOUND_LIFT - INNER_LIFT * basis.sum(dim=0)
    weight[SLICE_WAVE, :BLOCK, :blocks] = lift.reshape(blocks, BLOCK).T
    return _conv("decoder.model.6.convtr.convtr", weight, torch.zeros(BLOCK_CHANNELS))


def _quantizer(analysis: Analysis, waves: Codebooks, sounds: torch.Tensor) -> Weights:
    """Codebook 0 hears loudness and plays nothing; the others hear and play the waveform."""
    nothing = torch.zeros(LATENT, LATENT, 1, dtype=torch.int8)
    loud, wave = nothing.clone(), nothing.clone()
    here = torch.arange(FRAME_LOUDNESS)
    loud[here, WAVE + here, 0] = 1
    here = torch.arange(WAVE)
    wave[here, here, 0] = 1
    heard = wave.half()
    heard[here, here, 0] = _steps(analysis).half()
    weights = {
        "quantizer.rvq_first.input_proj.weight": loud,
        "quantizer.rvq_first.output_proj.weight": nothing,
        "quantizer.rvq_rest.input_proj.weight": heard,
        "quantizer.rvq_rest.output_proj.weight": wave,
        **_book("quantizer.rvq_first.vq.layers.0", sounds),
    }
    assert len(waves.books) == CODEBOOKS - 1
    for n, book in enumerate(waves.books):
        weights |= _book(f"quantizer.rvq_rest.vq.layers.{n}", book)
    return weights


def _book(name: str, vectors: torch.Tensor) -> Weights:
    """A codebook of int8: moshi divides each vector's sum by its usage, which serves as scale."""
    scale = 127 / vectors.abs().amax(dim=1).clamp(min=1e-6)
    sums = torch.zeros(CARD, LATENT, dtype=torch.int8)
    sums[:, : vectors.shape[1]] = (vectors * scale[:, None]).round().to(torch.int8)
    return {
        f"{name}._codebook._initialized": torch.ones(1),
        f"{name}._codebook.cluster_usage": scale,
        f"{name}._codebook.embedding_sum": sums,
    }


def _no_layer(name: str) -> Weights:
    """Return a transformer layer that adds nothing: moshi's streaming needs one."""
    whole = {
        "self_attn.in_projs.0": (3 * LATENT, LATENT),
        "self_attn.out_projs.0": (LATENT, LATENT),
    }
    whole |= {"linear1": (1, LATENT), "linear2": (LATENT, 1)}
    weights = {
        f"{name}.{part}.weight": torch.zeros(shape, dtype=torch.int8)
        for part, shape in whole.items()
    }
    for part in ("1", "2"):
        weights[f"{name}.norm{part}.weight"] = torch.ones(LATENT)
        weights[f"{name}.norm{part}.bias"] = torch.zeros(LATENT)
        weights[f"{name}.layer_scale_{part}.scale"] = torch.zeros(LATENT)
    return weights
