"""Mimi, the codec: its weights, and whether it is one that belongs to the language model.

Blocks while it reads.
"""

import torch
from moshi.models import loaders
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from protocol.errors import InvalidInput
from worker.engine.files.finite import refuse_not_finite
from worker.engine.files.model_files import ModelFiles
from worker.engine.files.weight_files import read_shapes

RATE_HZ, FRAME_SAMPLES = 24_000, 1920  # of the rooms' grid: 80 ms


def load_codec(files: ModelFiles, lm: LMModel, device: torch.device) -> MimiModel:
    """Load Mimi with as many codebooks as the language model hears or speaks.

    Raises `InvalidInput` where its file is damaged, or another codec's than the language model's.
    """
    read_shapes(files.codec)  # names a file that is none
    wanted = max(lm.dep_q, lm.n_q - lm.dep_q)
    try:
        mimi = loaders.get_mimi(files.codec, files.codec_config, device=device, num_codebooks=1)
    except Exception as error:  # its parts raise whatever a wrong value leads to
        why = str(error) or type(error).__name__
        raise _refused(files, f"is no Mimi of this config: {why:.500}") from error
    if mimi.total_codebooks < wanted:
        has = mimi.total_codebooks
        raise _refused(files, f"has {has} codebooks, but the language model uses {wanted}")
    if mimi.cardinality != lm.card:
        raise _refused(
            files,
            f"has {mimi.cardinality} codes a codebook, but the language model knows {lm.card}",
        )
    if (mimi.sample_rate, mimi.frame_size, mimi.channels) != (RATE_HZ, FRAME_SAMPLES, 1):
        raise _refused(
            files,
            f"has frames of {mimi.frame_size} samples at {mimi.sample_rate} Hz in {mimi.channels} "
            f"channels; expected {FRAME_SAMPLES} at {RATE_HZ} Hz in one",
        )
    for name, tensor in mimi.state_dict().items():
        refuse_not_finite(f"{files.name!r}: {files.codec.name}", name, tensor)
    mimi.set_num_codebooks(wanted)
    return mimi


def _refused(files: ModelFiles, why: str) -> InvalidInput:
    return InvalidInput(f"MODEL={files.name!r}: {files.codec.name} {why}")
