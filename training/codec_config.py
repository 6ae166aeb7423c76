"""The sizes of the pocket Moshi's codec, in the form of `loaders._mimi_config` (moshi 0.2.13).

A frame of 80 ms is 2 halves, 4 quarters, 8 slices of 10 ms, 80 blocks of 24 samples. Channels at
each of these rates are what the encoder and the decoder have there.
"""

from typing import Any

CARD, CODEBOOKS = 512, 8
FILTERS = 44
RATIOS = (2, 2, 10, 24)  # 25 Hz → 50 → 100 → 1000 → 24 kHz
HALVES, SLICES, BLOCKS = 2, 8, 80  # of a frame
SLICE, BLOCK = 240, 24  # samples
HALF_CHANNELS, QUARTER_CHANNELS, SLICE_CHANNELS, BLOCK_CHANNELS = (
    FILTERS * each for each in (16, 8, 4, 2)
)

BANDS, SCALES = 10, 2  # of loudness, which codebook 0 hears
SLICE_LOUDNESS = BANDS * SCALES  # 20 channels
FRAME_LOUDNESS = HALVES * SLICE_LOUDNESS  # 40: a half's is the mean of its slices'
SLICE_WAVE = SLICE_CHANNELS - SLICE_LOUDNESS  # 156 channels of a slice's waveform
LATENT = 672  # of a half, and of a frame
HALF_WAVE = SLICES // HALVES * SLICE_WAVE  # 624 channels of a half's waveform
WAVE = LATENT - FRAME_LOUDNESS  # 632 channels of a frame's waveform; the rest is loudness


def codec_config() -> dict[str, Any]:
    """Return the codec's config file."""
    return {
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "seanet": {
            "channels": 1,
            "dimension": LATENT,
            "causal": True,
            "n_filters": FILTERS,
            "n_residual_layers": 0,
            "activation": "ELU",
            "compress": 2,
            "dilation_base": 2,
            "disable_norm_outer_blocks": 0,
            "kernel_size": 2,
            "residual_kernel_size": 1,
            "last_kernel_size": 1,
            "norm": "none",
            "pad_mode": "constant",
            "ratios": list(RATIOS),
            "true_skip": True,
        },
        "quantizer": {
            "dimension": LATENT,
            "n_q": CODEBOOKS,
            "bins": CARD,
            "input_dimension": LATENT,
            "output_dimension": LATENT,
        },
        "transformer": {
            "d_model": LATENT,
            "num_heads": 1,
            "num_layers": 1,  # moshi's streaming asks for one at least; this one adds nothing
            "causal": True,
            "layer_scale": 0.01,
            "context": 2,
            "conv_layout": True,
            "max_period": 10_000,
            "gating": "none",
            "norm": "layer_norm",
            "positional_embedding": "rope",
            "dim_feedforward": 1,
            "input_dimension": LATENT,
            "output_dimensions": [LATENT],
        },
    }
