"""What less precision in Mimi costs: equal codes, and the decoded sound's distance in dB.

A minute of speech, ten rows of 6 s, goes through the engine's encoder in float32 and again with
numbers rounded as a GPU rounds them; the float32 codes go through the decoder in both ways. Rounded
are the inputs of convolutions (TF32, as cuDNN may), of all products (TF32), and inputs and outputs
of all products (bfloat16); sums are float32, as on tensor cores. The last row shows what the same
codec makes of an inaudible noise: one bit of 16.

    python -m bench.codec_precision                  # the pocket Moshi's codec, which is computed
    python -m bench.codec_precision --codec mimi     # Mimi's sizes: random weights, and codebooks
                                                     # that are spread as the sound's own vectors

A trained Mimi is neither. A table, then one line of JSON.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sphn
import torch
from moshi.models.compression import MimiModel
from moshi.models.loaders import get_mimi
from moshi.quantization.core_vq import VectorQuantization
from moshi.quantization.vq import ResidualVectorQuantizer, SplitResidualVectorQuantizer
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from harness.recordings import QUESTIONS, RATE_HZ, SENTENCES, recording
from tests.engine.tiny import make_hearing
from worker.engine.files import pocket
from worker.engine.network import convolution
from worker.engine.network.codec import CodecWeights, Decoder, Encoder
from worker.engine.network.memory import Memory

ROWS, FRAMES, FRAME_SAMPLES = 10, 75, 1920
CODEBOOKS = 8
CPU = torch.device("cpu")
CONVOLUTIONS = (torch.conv1d, torch.conv_transpose1d)
PRODUCTS = (*CONVOLUTIONS, F.linear, torch.addmm, F.scaled_dot_product_attention)
Round = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class PrecisionRow:
    """One way to compute, beside float32."""

    way: str
    first_equal: float  # share of equal codes, of the first codebook
    last_equal: float  # of the last
    equal: float  # of all
    sound_db: float  # float32's sound against its difference from this way's, for the same codes


class Rounding(TorchFunctionMode):
    """Rounds the tensors that go into some of torch's functions, and what comes out if asked to."""

    def __init__(
        self, rounded: Round, functions: Sequence[Callable[..., Any]], *, outputs: bool = False
    ) -> None:
        super().__init__()
        self._round, self._functions, self._outputs = rounded, functions, outputs

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch."""
        if func not in self._functions:
            return func(*args, **(kwargs or {}))
        # A bias and a mask are added in float32.
        factors = 1 if func is torch.addmm else 0
        count = 3 if func is F.scaled_dot_product_attention else factors + 2
        rounded = (self._round(each) for each in args[factors:count])
        out = func(*args[:factors], *rounded, *args[count:], **(kwargs or {}))
        return self._round(out) if self._outputs else out


def to_tf32(x: torch.Tensor) -> torch.Tensor:
    """Round float32 numbers to 10 bits of mantissa, ties away from zero."""
    bits = x.detach().contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def to_bf16(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().float()


WAYS = {
    "TF32 in convolutions": lambda: Rounding(to_tf32, CONVOLUTIONS),
    "TF32 in all products": lambda: Rounding(to_tf32, PRODUCTS),
    "bf16 in all products": lambda: Rounding(to_bf16, PRODUCTS, outputs=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--codec", choices=("pocket", "mimi"), default="pocket")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each of the ten rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    convolution.by_product = lambda kernel: False  # as on CUDA
    sound = speech(options.frames)
    mimi = pocket_mimi() if options.codec == "pocket" else mimi_of_real_size(sound)
    rows, spread = compare(CodecWeights(mimi), sound)
    print(f"{options.codec}, {sound.shape[0] * sound.shape[2] / RATE_HZ:.0f} s; {spread}")
    print("  ".join(f"{name:>22}" for name in PrecisionRow.__dataclass_fields__))
    for row in rows:
        print("  ".join(f"{value:>22}" for value in asdict(row).values()))
    result = {"bench": "codec_precision", "codec": options.codec, "torch": torch.__version__}
    print(json.dumps(result | {"rows": [asdict(row) for row in rows]}))


def speech(frames: int) -> torch.Tensor:
    """Return sentences of several voices at three loudnesses, `[ROWS, 1, samples]`."""
    spoken = [recording(name)[RATE_HZ // 2 : -RATE_HZ // 2] for name in (*SENTENCES, *QUESTIONS)]
    for path in sorted((pocket.FOLDER / "voices").glob("*.wav")):
        pcm, rate_hz = sphn.read(path)
        spoken.append(sphn.resample(pcm, src_sample_rate=rate_hz, dst_sample_rate=RATE_HZ)[0])
    once = np.concatenate(spoken)
    samples = ROWS * frames * FRAME_SAMPLES
    turns = [once * gain for gain in (1.0, 0.5, 0.25) * (1 + samples // (3 * len(once)))]
    sound = torch.from_numpy(np.concatenate(turns)[:samples]).float()
    return sound.view(ROWS, 1, -1)


def pocket_mimi() -> MimiModel:
    config = json.loads((pocket.FOLDER / "mimi.json").read_text(encoding="utf-8"))
    return get_mimi(pocket.FOLDER / "mimi.safetensors", config, CPU, CODEBOOKS)


@torch.inference_mode()
def mimi_of_real_size(sound: torch.Tensor) -> MimiModel:
    """Return a Mimi of Kyutai's sizes that tells sounds apart, with random weights.

    Each codebook's vectors have the mean and the covariance of what it is to choose for.
    """
    mimi = get_mimi(None, None, CPU, CODEBOOKS)
    make_hearing(mimi)
    quantizer = mimi.quantizer
    assert isinstance(quantizer, SplitResidualVectorQuantizer)
    heard = mimi.encode_to_latent(sound, quantize=False)  # [ROWS, C, frames]
    for part in (quantizer.rvq_first, quantizer.rvq_rest):
        assert isinstance(part, ResidualVectorQuantizer)
        rest = part.input_proj(heard).transpose(1, 2).flatten(end_dim=1)  # [n, C]
        for layer in part.vq.layers:
            assert isinstance(layer, VectorQuantization)
            book = layer._codebook  # pyright: ignore[reportPrivateUsage]
            centred = rest - rest.mean(dim=0)
            mixed = torch.randn(len(book.embedding_sum), len(rest)) @ centred / len(rest) ** 0.5
            book.embedding_sum.copy_(rest.mean(dim=0) + mixed)
            book.cluster_usage.fill_(1.0)
            nearest = torch.cdist(rest, book.embedding_sum).argmin(dim=-1)
            rest = rest - book.embedding_sum[nearest]
    return mimi


@torch.inference_mode()
def compare(weights: CodecWeights, sound: torch.Tensor) -> tuple[list[PrecisionRow], str]:
    """Compare each way with float32; say how many codes the sound takes."""
    codes = encoded(weights, sound)
    said = decoded(weights, codes)
    rows = []
    for way, rounding in WAYS.items():
        with rounding():
            others = encoded(weights, sound)
            differs = decoded(weights, codes) - said
        rows.append(row_of(way, codes == others, said, differs))
    noisy = sound + torch.empty_like(sound).uniform_(-1, 1) / 2**15
    others = encoded(weights, noisy)
    rows.append(row_of("noise of one bit of 16", codes == others, sound, noisy - sound))
    taken = [len(codes[..., k].unique()) for k in range(codes.shape[-1])]
    return rows, f"codes taken of each codebook's {weights.mimi.cardinality}: {taken}"


def row_of(
    way: str, equal: torch.Tensor, sound: torch.Tensor, differs: torch.Tensor
) -> PrecisionRow:
    shares = equal.float().flatten(end_dim=-2).mean(dim=0).tolist()
    ratio = float(sound.double().square().sum() / differs.double().square().sum())
    return PrecisionRow(
        way,
        first_equal=round(shares[0], 4),
        last_equal=round(shares[-1], 4),
        equal=round(float(np.mean(shares)), 4),
        sound_db=round(10 * float(np.log10(ratio)), 1),
    )


def encoded(weights: CodecWeights, sound: torch.Tensor) -> torch.Tensor:
    """Return the codes `[frames, ROWS, K]`, encoded frame by frame."""
    encode = Encoder(weights, Memory(ROWS, CPU).rows(ROWS, "codec"))
    runs = torch.ones(ROWS, dtype=torch.bool)
    return torch.stack([encode(frame, runs) for frame in sound.split(FRAME_SAMPLES, dim=2)])


def decoded(weights: CodecWeights, codes: torch.Tensor) -> torch.Tensor:
    """Return the sound of codes, `[frames, ROWS, samples]`."""
    decode = Decoder(weights, Memory(ROWS, CPU).rows(ROWS, "codec"))
    runs = torch.ones(ROWS, dtype=torch.bool)
    return torch.stack([decode(frame, runs) for frame in codes])


if __name__ == "__main__":
    main()
