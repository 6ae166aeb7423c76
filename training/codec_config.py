"""How large the pocket Moshi's codec is, in the form of `loaders._mimi_config` (moshi 0.2.13)."""

from typing import Any

CARD, CODEBOOKS = 512, 8
LATENT, CODE = 128, 64
FILTERS = 12
RATIOS = (2, 4, 3, 5, 8)  # most of the work at low rates: 25, 50, 200, 600, 3000 Hz, then 24 kHz


def codec_config() -> dict[str, Any]:
    """The codec's own config file."""
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
            "num_heads": 4,
            "num_layers": 2,
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
