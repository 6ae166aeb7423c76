"""Mimi over slots: PCM → codes and codes → PCM, each with its own mask of rows that advance.

The same weights and results as moshi 0.2.13 models/compression.py with far fewer operations, and
no state that is re-bound (upstream modules/conv.py:268 re-binds `state.first`), so a step can be
captured as one CUDA graph. Engine thread only.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial

import torch
from moshi.models.compression import MimiModel
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from moshi.modules.resample import ConvDownsample1d, ConvTrUpsample1d
from moshi.modules.seanet import SEANetResnetBlock
from moshi.modules.transformer import ProjectedTransformer
from moshi.quantization.core_vq import VectorQuantization
from moshi.quantization.vq import ResidualVectorQuantizer, SplitResidualVectorQuantizer
from torch import nn
from torch.nn import functional as F

from worker.engine.kv_choice import KvMemory
from worker.engine.network.convolution import (
    Conv,
    ConvTranspose,
    Kernel,
    Layer,
    used,
    without_zero_channels,
)
from worker.engine.network.memory import Rows
from worker.engine.network.transformer import RingTransformer, adds_nothing
from worker.engine.network.unsupported import UnsupportedModel

# x [B, C, T], exec mask [B] → y [B, C', T']
Stage = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class CodecLayers:
    """The layers of modules of Mimi, made once for all batch sizes.

    `kernels`: Triton's run on their device, see `kernels/check.py`.
    """

    def __init__(self, *, kernels: bool) -> None:
        self.kernels = kernels
        self._layers: dict[nn.Module, list[Layer]] = {}

    def of(self, module: nn.Module) -> list[Layer]:
        """Return the layers of a module of Mimi, without what is zero in them."""
        if module not in self._layers:
            parts = module if isinstance(module, nn.Sequential) else [module]
            self._layers[module] = without_zero_channels([_kernel(each) or each for each in parts])
        return self._layers[module]


class CodecWeights:
    """A Mimi, and tables that are derived from its weights once for all batch sizes."""

    def __init__(self, mimi: MimiModel, *, kernels: bool = False) -> None:
        self.kernels, self.layers = kernels, CodecLayers(kernels=kernels)
        quantizer = mimi.quantizer
        assert isinstance(quantizer, SplitResidualVectorQuantizer)
        self.mimi = mimi
        self.quantizers = [
            Nearest(part, kernels=kernels) for part in (quantizer.rvq_first, quantizer.rvq_rest)
        ]
        self._parts = (quantizer.rvq_first, quantizer.rvq_rest)

    @cached_property
    def table(self) -> torch.Tensor:
        """Vectors that the decoder reads, `[K * card, C]`; not made where only an encoder runs."""
        return torch.cat([table for part in self._parts for table in _tables(part)])

    @cached_property
    def first(self) -> torch.Tensor:
        """Where each codebook begins in the table, `[K]`."""
        card = self.mimi.cardinality
        return torch.arange(len(self.table) // card, device=self.table.device) * card


class Encoder:
    """PCM `[B, 1, 1920]` → codes `[B, K]`."""

    def __init__(self, weights: CodecWeights, rows: Rows) -> None:
        mimi, layers = weights.mimi, weights.layers
        self._quantizers = weights.quantizers
        self._stages = [
            stage(mimi.encoder.get_submodule("model"), layers, rows, "encoder.conv"),
            _transformer(mimi.encoder_transformer, weights, rows, "encoder.transformer"),
            stage(mimi.get_submodule("downsample"), layers, rows, "encoder.down"),
        ]

    def __call__(self, pcm: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Encode one frame of every row; the rows of `exec_mask` advance."""
        x = pcm.nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0)  # a NaN would persist in the state
        for stage in self._stages:
            x = stage(x, exec_mask)
        x = x[:, :, 0]  # one frame
        return torch.stack([code for nearest in self._quantizers for code in nearest(x)], dim=1)


class Decoder:
    """Codes `[B, K]` → PCM `[B, 1920]`."""

    def __init__(self, weights: CodecWeights, rows: Rows) -> None:
        mimi, layers = weights.mimi, weights.layers
        self._table, self._first = weights.table, weights.first
        self._stages = [
            stage(mimi.get_submodule("upsample"), layers, rows, "decoder.up"),
            _transformer(mimi.decoder_transformer, weights, rows, "decoder.transformer"),
            stage(mimi.decoder.get_submodule("model"), layers, rows, "decoder.conv"),
        ]

    def __call__(self, codes: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Decode one frame of every row, no negative codes; the rows of `exec_mask` advance."""
        x = F.embedding(codes + self._first, self._table).sum(dim=1)[:, :, None]
        for stage in self._stages:
            x = stage(x, exec_mask)
        return x[:, 0]


class Nearest:
    """Residual vector quantization: the nearest centroid, then the one nearest to the residue."""

    def __init__(self, quantizer: ResidualVectorQuantizer, *, kernels: bool) -> None:
        self._project = _projection(quantizer.input_proj)
        self._books = torch.stack(_books(quantizer))
        tells = used(self._books).flatten(0, 1).any(dim=0)
        if self._project is not None and not tells.all():
            # A coordinate in which all centroids are zero is as far from each of them.
            self._project = self._project[tells]
            self._books = self._books[:, :, tells].contiguous()
        self._turned = self._books.mT.contiguous()
        self._squares = self._books.square().sum(dim=-1)
        self._kernels = kernels and bool(tells.any()) and self._books.dtype == torch.float32

    def __call__(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return a code `[B]` for each codebook."""
        rest = x if self._project is None else F.linear(x, self._project)
        if self._kernels:
            from worker.engine.network.kernels import codebooks

            if len(rest) <= codebooks.MOST_ROWS:
                return codebooks.nearest(rest, self._books, self._squares).unbind()
        codes: list[torch.Tensor] = []
        for n, book in enumerate(self._books):
            # |x - c|² without |x|², which is the same for every centroid c.
            far = torch.addmm(self._squares[n], rest, self._turned[n], alpha=-2)
            codes.append(far.argmin(dim=-1))
            if n + 1 < len(self._books):
                rest = rest - F.embedding(codes[-1], book)
        return codes


def _books(quantizer: ResidualVectorQuantizer) -> list[torch.Tensor]:
    books: list[torch.Tensor] = []
    for layer in list(quantizer.vq.layers)[: quantizer.n_q]:
        assert isinstance(layer, VectorQuantization)
        if not isinstance(layer.project_in, nn.Identity):
            raise UnsupportedModel("Mimi: a codebook with a projection of its own")
        books.append(layer.embedding.detach())
    return books


def _tables(quantizer: ResidualVectorQuantizer) -> list[torch.Tensor]:
    """Centroids `[card, C]`, already projected into the decoder's space."""
    project = _projection(quantizer.output_proj)
    books = _books(quantizer)
    return books if project is None else [F.linear(book, project) for book in books]


def _projection(module: nn.Module) -> torch.Tensor | None:
    return module.weight.detach()[:, :, 0] if isinstance(module, nn.Conv1d) else None


def _transformer(module: nn.Module | None, weights: CodecWeights, rows: Rows, name: str) -> Stage:
    if not isinstance(module, ProjectedTransformer) or not module.conv_layout:
        raise UnsupportedModel("Mimi: expected transformers of conv layout")
    dtype = next(module.parameters()).dtype
    inward, outward = module.input_proj, module.output_projs[0]
    ring = None
    if not adds_nothing(module.transformer):
        mimi, stored = weights.mimi, KvMemory(kernels=weights.kernels)
        step = int(mimi.encoder_frame_rate / mimi.frame_rate)
        ring = RingTransformer(module.transformer, rows, name, dtype, stored, step=step)

    def run(x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2).contiguous()  # once, and not in every norm
        with as_convolutions(x.device):
            x = x if inward is None else inward(x)
            x = x if ring is None else ring(x, exec_mask)
            return outward(x).transpose(1, 2)

    return run


@contextmanager
def as_convolutions(device: torch.device) -> Generator[None]:
    """Let products round as cuDNN's convolutions may: to TF32, on CUDA, for Kyutai's own codec.

    `files/weights.py` forbids it for any other.
    """
    if device.type != "cuda":
        yield
        return
    products = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        products.allow_tf32 = before


def stage(module: nn.Module, layers: CodecLayers, rows: Rows, name: str) -> Stage:
    """Make the stage that computes the same as a module of Mimi."""
    if layers.kernels:
        from worker.engine.network import channels_last

        return channels_last.Stage(module, layers.of, rows, name)
    parts = [_layer(each, layers, rows, f"{name}.{n}") for n, each in enumerate(layers.of(module))]
    return partial(_in_turn, parts)


def _layer(layer: Layer, layers: CodecLayers, rows: Rows, name: str) -> Stage:
    if isinstance(layer, Kernel):
        return (ConvTranspose if layer.transposed else Conv)(layer, rows, name)
    if isinstance(layer, SEANetResnetBlock):
        block = stage(layer.block, layers, rows, f"{name}.block")
        skip = stage(layer.shortcut, layers, rows, f"{name}.skip")
        return lambda x, exec_mask: skip(x, exec_mask) + block(x, exec_mask)
    if isinstance(layer, nn.ELU) and layer.alpha == 1.0 and rows.memory.device.type == "cpu":
        return _elu
    if isinstance(layer, nn.ELU | nn.Identity | nn.Tanh):
        return lambda x, exec_mask: layer(x)
    raise UnsupportedModel(f"Mimi: {type(layer).__name__} is not known here")


def _kernel(module: nn.Module) -> Kernel | None:
    """Return the kernel of a module that is one convolution."""
    if isinstance(module, ConvDownsample1d) and module.learnt:
        return Kernel.of(module.conv)
    if isinstance(module, ConvTrUpsample1d) and module.learnt:
        return Kernel.of(module.convtr)
    if isinstance(module, StreamingConv1d | StreamingConvTranspose1d):
        return Kernel.of(module)
    return None


def _in_turn(parts: list[Stage], x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
    for part in parts:
        x = part(x, exec_mask)
    return x


def _elu(x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
    """ELU in vector operations: 2.5 times as fast on a CPU as torch 2.9.1's own."""
    y = x.clamp(max=0).exp_().sub_(1)
    return torch.maximum(x, y, out=y)
