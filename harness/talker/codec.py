"""The talker's codec: Mimi weights, made by hand, that turn its tokens into a soft voice.

Source and filter, as in a throat: a latent channel for each pitch and vowel, pulses of that pitch
at 1200 Hz, each pulse answered by 5 ms of that vowel at 6 kHz, smoothed up to 24 kHz. Biases are
zero and quiet tokens are zero vectors, so silence stays silence. Pure: numpy, a fixed seed.
Names and shapes are those of `moshi.models.loaders.get_mimi` (moshi 0.2.13).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]

CARD = 256
CODEBOOKS = 8
LATENT, CODE = 64, 32  # channels of the latent; dimensions of a codebook vector
FILTERS = 8
RATIOS = (8, 6, 5, 4)  # 25 Hz → 200 Hz → 1200 Hz → 6 kHz → 24 kHz

PITCHES_HZ = (100, 125, 150, 175, 200)  # multiples of 25 Hz: a held note repeats with the latent
VOWELS_HZ = ((700, 1200), (500, 1800), (320, 2200), (380, 850))  # two formants each
SYLLABLE = (0.6, 1.0, 0.8, 0.5)  # loudness over four frames, so that it speaks in syllables

VOICE_GAIN = 0.35  # measured: talk comes out near -24 dBFS
HEARING_GAIN = 14.0  # measured: below about -45 dBFS a microphone gives the quiet token
RESIDUE = 0.02  # how loud the residual branches speak beside the main path
TIMBRE = 0.012  # how much the seven acoustic codebooks colour the voice

PULSE_SLOTS = RATIOS[1]  # places for a pulse between two samples of 200 Hz
ANSWER_TAPS = PULSE_SLOTS * RATIOS[2]  # a vowel's answer to a pulse: 5 ms at 6 kHz


def codec_config() -> dict[str, Any]:
    """The codec's own config file, in the form of `loaders._mimi_config`."""
    return {
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "seanet": {
            "channels": 1,
            "dimension": LATENT,
            "causal": True,
            "n_filters": FILTERS,
            "n_residual_layers": 1,
            "activation": "ELU",
            "compress": 2,
            "dilation_base": 2,
            "disable_norm_outer_blocks": 0,
            "kernel_size": 7,
            "residual_kernel_size": 3,
            "last_kernel_size": 3,
            "norm": "none",
            "pad_mode": "constant",
            "ratios": list(RATIOS),
            "true_skip": True,
        },
        "quantizer": {
            "dimension": CODE,
            "n_q": CODEBOOKS,
            "bins": CARD,
            "input_dimension": LATENT,
            "output_dimension": LATENT,
        },
        "transformer": {
            "d_model": LATENT,
            "num_heads": 2,
            "num_layers": 1,
            "causal": True,
            "layer_scale": 0.01,
            "context": 50,
            "conv_layout": True,
            "max_period": 10_000,
            "gating": "none",
            "norm": "layer_norm",
            "positional_embedding": "rope",
            "dim_feedforward": 2 * LATENT,
            "input_dimension": LATENT,
            "output_dimensions": [LATENT],
        },
    }


def tone(pitch: int, vowel: int) -> int:
    """The latent channel of a pitch with a vowel."""
    return pitch * len(VOWELS_HZ) + vowel


def codec_weights(voices: Array, rng: np.random.Generator) -> Weights:
    """All weights of the codec.

    `voices` `[CARD, CODE]` is codebook 0: what each first token sounds like, as loudness per tone.
    """
    weights = _encoder(rng) | _decoder(rng)
    for side in ("encoder", "decoder"):
        weights |= _transformer(f"{side}_transformer.transformer.layers.0", rng)
    weights["downsample.conv.conv.conv.weight"] = _noise(rng, LATENT, LATENT, 4)
    crossfade = np.array([0.5, 1.0, 0.5, 0.0], np.float32)  # 12.5 Hz → 25 Hz without a click
    weights["upsample.convtr.convtr.convtr.weight"] = np.tile(crossfade, (LATENT, 1, 1))
    return weights | _quantizer(voices, rng)


def _noise(rng: np.random.Generator, *shape: int, gain: float = 1.0) -> Array:
    """Random weights `[out, in, …]` that keep the variance of their input, times `gain`."""
    fan_in = int(np.prod(shape[1:]))
    return (rng.standard_normal(shape) * gain / np.sqrt(fan_in)).astype(np.float32)


def _residual(name: str, channels: int, rng: np.random.Generator) -> Weights:
    """A residual block that adds a little of everything to everything."""
    hidden = channels // 2
    return _conv(f"{name}.block.1", _noise(rng, hidden, channels, 3)) | _conv(
        f"{name}.block.3", _noise(rng, channels, hidden, 1, gain=RESIDUE)
    )


def _conv(name: str, weight: Array) -> Weights:
    """A convolution `[out, in, taps]` without bias, so that it keeps silence."""
    zeros = np.zeros(weight.shape[0], np.float32)
    return {f"{name}.conv.conv.weight": weight, f"{name}.conv.conv.bias": zeros}


def _upsample(name: str, weight: Array) -> Weights:
    """A transposed convolution `[in, out, taps]` without bias."""
    zeros = np.zeros(weight.shape[1], np.float32)
    return {f"{name}.convtr.convtr.weight": weight, f"{name}.convtr.convtr.bias": zeros}


def _encoder(rng: np.random.Generator) -> Weights:
    """Random ears: nothing is understood, but different sounds give different tokens."""
    weights = _conv("encoder.model.0", _noise(rng, FILTERS, 1, 7, gain=HEARING_GAIN))
    channels = FILTERS
    for stage, ratio in enumerate(reversed(RATIOS)):
        at = 1 + 3 * stage
        weights |= _residual(f"encoder.model.{at}", channels, rng)
        weights |= _conv(f"encoder.model.{at + 2}", _noise(rng, 2 * channels, channels, 2 * ratio))
        channels *= 2
    return weights | _conv("encoder.model.14", _noise(rng, LATENT, channels, 3))


def _decoder(rng: np.random.Generator) -> Weights:
    """The throat, from tones at 25 Hz to sound at 24 kHz."""
    channels = FILTERS * 2 ** len(RATIOS)
    tones = np.zeros((channels, LATENT, 7), np.float32)
    for each in range(len(PITCHES_HZ) * len(VOWELS_HZ)):
        tones[each, each, -1] = 1.0
    weights = _conv("decoder.model.0", tones)
    for stage, weight in enumerate((_pulses(), _slots(), _answers(), _smoothing())):
        at = 2 + 3 * stage
        weights |= _upsample(f"decoder.model.{at}", weight)
        weights |= _residual(f"decoder.model.{at + 1}", weight.shape[1], rng)
    mouth = np.zeros((1, FILTERS, 3), np.float32)
    mouth[0, 0], mouth[0, 1] = VOICE_GAIN / 2, -VOICE_GAIN / 2
    return weights | _conv("decoder.model.14", mouth * np.array([0.5, 1.0, 0.5], np.float32))


def _pulses() -> Array:
    """Tone → pulses `[in, out, 16]`: output channel (vowel, slot) at 200 Hz."""
    stride = RATIOS[0]
    weight = np.zeros((16 * FILTERS, 8 * FILTERS, 2 * stride), np.float32)
    rise = (np.arange(stride) + 0.5) / stride
    for pitch, hz in enumerate(PITCHES_HZ):
        train = _pulse_train(hz // 25).reshape(stride, PULSE_SLOTS)
        for vowel in range(len(VOWELS_HZ)):
            for slot in range(PULSE_SLOTS):
                here = weight[tone(pitch, vowel), vowel * PULSE_SLOTS + slot]
                here[:stride] = train[:, slot] * rise
                here[stride:] = train[:, slot] * (1.0 - rise)
    return weight


def _pulse_train(pulses: int) -> npt.NDArray[np.float64]:
    """40 ms at 1200 Hz with evenly spread pulses; one between two samples is shared by both."""
    length = RATIOS[0] * PULSE_SLOTS
    train = np.zeros(length)
    for at in np.arange(pulses) * length / pulses:
        left, share = int(at), at - int(at)
        train[left] += 1.0 - share
        train[(left + 1) % length] += share
    return train


def _slots() -> Array:
    """Slots → one pulse and its five echoes `[in, out, 12]`: channel (vowel, part) at 1200 Hz."""
    weight = np.zeros((8 * FILTERS, 4 * FILTERS, 2 * PULSE_SLOTS), np.float32)
    for vowel in range(len(VOWELS_HZ)):
        for slot in range(PULSE_SLOTS):
            for part in range(PULSE_SLOTS):
                weight[vowel * PULSE_SLOTS + slot, vowel * PULSE_SLOTS + part, slot + part] = 1.0
    return weight


def _answers() -> Array:
    """Each part of a pulse → its fifth of the vowel `[in, out, 10]`, and the same upside down.

    The pair (x, -x) keeps the following ELU from bending the wave: elu(x) - elu(-x) is odd.
    """
    weight = np.zeros((4 * FILTERS, 2 * FILTERS, 2 * RATIOS[2]), np.float32)
    for vowel, formants in enumerate(VOWELS_HZ):
        parts = _answer(formants).reshape(PULSE_SLOTS, RATIOS[2])
        for part in range(PULSE_SLOTS):
            weight[vowel * PULSE_SLOTS + part, 0, : RATIOS[2]] = parts[part]
            weight[vowel * PULSE_SLOTS + part, 1, : RATIOS[2]] = -parts[part]
    return weight


def _answer(formants_hz: tuple[int, int]) -> npt.NDArray[np.float64]:
    """5 ms of two damped formants at 6 kHz, without direct current, of energy 1."""
    time_s = np.arange(ANSWER_TAPS) / 6000.0
    first, second = (
        np.exp(-damping * time_s) * np.sin(2 * np.pi * hz * time_s)
        for hz, damping in zip(formants_hz, (350.0, 500.0), strict=True)
    )
    wave = (first + 0.4 * second) * np.hanning(2 * ANSWER_TAPS)[ANSWER_TAPS:]
    wave -= wave.mean()
    return wave / np.sqrt(np.sum(wave**2))


def _smoothing() -> Array:
    """6 kHz → 24 kHz by straight lines `[in, out, 8]`, the pair kept apart."""
    stride = RATIOS[3]
    weight = np.zeros((2 * FILTERS, FILTERS, 2 * stride), np.float32)
    ramp = 1.0 - np.abs(np.arange(2 * stride) - (stride - 0.5)) / stride
    weight[0, 0] = weight[1, 1] = ramp
    return weight


def _transformer(layer: str, rng: np.random.Generator) -> Weights:
    """A layer whose layer scale keeps it a whisper beside the main path."""
    weights = {
        f"{layer}.self_attn.in_proj_weight": _noise(rng, 3 * LATENT, LATENT),
        f"{layer}.self_attn.out_proj.weight": _noise(rng, LATENT, LATENT),
        f"{layer}.linear1.weight": _noise(rng, 2 * LATENT, LATENT),
        f"{layer}.linear2.weight": _noise(rng, LATENT, 2 * LATENT),
    }
    for part in ("1", "2"):
        weights[f"{layer}.norm{part}.weight"] = np.ones(LATENT, np.float32)
        weights[f"{layer}.norm{part}.bias"] = np.zeros(LATENT, np.float32)
        weights[f"{layer}.layer_scale_{part}.scale"] = np.full(LATENT, 0.002, np.float32)
    return weights


def _quantizer(voices: Array, rng: np.random.Generator) -> Weights:
    """Codebook 0 carries the voice; the other seven a little timbre, and silence as token 0."""
    weights: Weights = {}
    passing = np.eye(LATENT, CODE, dtype=np.float32)[..., None]
    for part in ("first", "rest"):
        weights[f"quantizer.rvq_{part}.input_proj.weight"] = _noise(rng, CODE, LATENT, 1)
        weights[f"quantizer.rvq_{part}.output_proj.weight"] = passing.copy()
    weights |= _codebook("quantizer.rvq_first.vq.layers.0", voices)
    for index in range(CODEBOOKS - 1):
        timbre = (rng.standard_normal((CARD, CODE)) * TIMBRE).astype(np.float32)
        timbre[0] = 0.0
        weights |= _codebook(f"quantizer.rvq_rest.vq.layers.{index}", timbre)
    return weights


def _codebook(layer: str, vectors: Array) -> Weights:
    return {
        f"{layer}._codebook._initialized": np.ones(1, np.float32),
        f"{layer}._codebook.cluster_usage": np.ones(CARD, np.float32),
        f"{layer}._codebook.embedding_sum": vectors,
    }
