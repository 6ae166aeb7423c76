"""Each of Triton's kernels beside torch: run once with random numbers, in the types that are given.

Used at each start (`check.py`) and by tests.
"""

import math
from functools import partial

import torch
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from moshi.modules.seanet import SEANetResnetBlock
from torch import nn
from torch.nn import functional as F

from protocol.sampling import UsualSampling
from worker.engine.kv_choice import KvMemory
from worker.engine.network.codec import CodecLayers, stage
from worker.engine.network.depformer import ForcedTokens
from worker.engine.network.drawing import TorchDraws
from worker.engine.network.memory import Memory
from worker.engine.network.positions import Places
from worker.engine.network.ring import KvRing
from worker.engine.network.sampler import Draw, Sampler, SamplingState, Widths, pick

RINGS = 88, 408  # read by one program, and by several; as aligned as Moshi's own for torch
STEPS, ROWS, HEADS = 2, 2, 2
KEPT_SCALE = 0.02  # of a ring's int8 numbers
CODEC_DIM, CODEC_FRAMES = 64, 2  # numbers of Mimi's heads, and its positions of a step
DIM, EPS = 96, 1e-5  # of a norm; not a power of two
DRAWS, WIDTH = 32, 128
SIZE, WIDTHS = 4096, (96, 512, 2048)  # of small weights, and of one that is read in pieces
CODEBOOKS, CODES, BOOK_DIM = 8, 2048, 256  # of Mimi
CHANNELS, SAMPLES, CODEC_STEPS = 8, 72, 3  # of a small Mimi; more than a program convolves


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference; infinity where one is no number, which Python's max loses."""
    return float((one.float() - other.float()).abs().max().nan_to_num(nan=math.inf))


@torch.inference_mode()
def kernel_difference(
    device: torch.device,
    dtype: torch.dtype,
    head_dim: int,
    frames: int = 1,
    *,
    ring: int,
    int8: bool = False,
) -> float:
    """Return the largest difference between the kernels' attention and torch's.

    Some steps of so many positions, by a row that is new and by one that wraps its ring.
    """
    generator = torch.Generator(device).manual_seed(0)
    memories = [Memory(ROWS, device) for _ in range(2)]
    layers = [
        KvRing(
            memory.rows(ROWS, "lm"),
            "check",
            HEADS,
            ring,
            head_dim,
            dtype,
            KvMemory(int8=int8, kernels=kernels),
        )
        for kernels, memory in zip((False, True), memories, strict=True)
    ]
    for name, kept in memories[0].tensors.items():
        noise = torch.randn(kept.shape, generator=generator, device=device).clamp(-2, 2)
        noise = noise.abs() * KEPT_SCALE if kept.ndim == 4 else noise * (50 if int8 else 1)
        kept.copy_(noise)
        memories[1].tensors[name].copy_(kept)
    freqs = torch.rand(head_dim // 2, generator=generator, device=device)
    places = [
        Places(ring, HEADS, head_dim, freqs, dtype, device, kernels=kernels, step=frames)
        for kernels in (False, True)
    ]
    exec_mask = torch.ones(ROWS, dtype=torch.bool, device=device)
    difference = 0.0
    for step in range(STEPS):
        shape = (ROWS, frames, 3 * HEADS * head_dim)
        x = torch.randn(shape, generator=generator, device=device).to(dtype)
        offset = torch.tensor([0, ring - 1], device=device) + step * frames
        by_torch, by_kernels = (
            layer(x, each.share(offset, frames, exec_mask))
            for layer, each in zip(layers, places, strict=True)
        )
        difference = max(difference, apart(by_torch, by_kernels))
    return difference


@torch.inference_mode()
def layer_differences(device: torch.device, dtype: torch.dtype) -> list[float]:
    """Return the largest differences of the kernels between products: sum, norm, gate."""
    from worker.engine.network.kernels import layers

    generator = torch.Generator(device).manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator, device=device) / 2).to(dtype)

    x, y, more = noise(3, ROWS, DIM)
    alpha, bias, scale = noise(3, DIM)
    total, normed = layers.add_norm(alpha, None, EPS, None, x, y)
    scaled, centred = layers.add_norm(alpha, bias, EPS, scale, x, y)
    index = torch.arange(ROWS, device=device).flip(0)
    strided = torch.cat([x, more], dim=1)[:, DIM // 2 : DIM // 2 + DIM]
    looked, _ = layers.add_norm(alpha, None, EPS, None, strided, y, index)
    gates, value = x.chunk(2, dim=-1)
    pairs = [
        (total, x + y),
        (looked, strided + y[index]),
        (normed, F.rms_norm((x + y).float(), (DIM,), alpha.float(), EPS)),
        (scaled, x.float() + scale.float() * y.float()),
        (centred, F.layer_norm(scaled.float(), (DIM,), alpha.float(), bias.float(), EPS)),
        (layers.silu_gate(x), F.silu(gates) * value),
        (layers.add_norm(alpha, None, EPS, None, total, None)[1], normed),
        (layers.add_norm(alpha, bias, EPS, None, scaled, None)[1], centred),
    ]
    return [apart(*pair) for pair in pairs]


@torch.inference_mode()
def draw_differences(
    device: torch.device, dtype: torch.dtype, cards: tuple[int, int]
) -> list[float]:
    """Return the share of wrong draws of text and of codes, and the difference of word chances.

    `cards`: how many texts and codes there are.
    """
    from worker.engine.network.kernels.draws import KernelDraws

    rows = Memory(DRAWS, device).rows(DRAWS, "sampling")
    state, forced = SamplingState.of(rows), ForcedTokens.of(rows, 1)
    for slot in range(DRAWS):
        state.set(slot, UsualSampling(text_top_k=WIDTH, audio_top_k=WIDTH), seed=slot)
    widths, frame = Widths(text=WIDTH, audio=WIDTH), torch.arange(1, 1 + DRAWS, device=device)
    parts = (state, forced, widths, (0, 3))
    text_draw, code_draw = Sampler(state, widths, 1).draws(frame)
    generator = torch.Generator(device).manual_seed(2)
    texts, codes = (
        torch.randn(DRAWS, card, generator=generator, device=device).to(dtype) for card in cards
    )
    (torch_text, _), (kernel_text, kernel_code) = (
        draws(frame) for draws in (TorchDraws(*parts), KernelDraws(*parts))
    )
    drawn = kernel_text(texts)
    pairs = [
        (drawn.unforced, by_id(text_draw, texts, 0)),
        (kernel_code(codes, 0), by_id(code_draw, codes, 0)),
    ]
    chances = apart(drawn.word_chance, torch_text(texts).word_chance)
    wrong = [float((a != b).float().mean()) for a, b in pairs]
    return [*wrong, chances, float(not drawn.finite.all())]


@torch.inference_mode()
def nearest_difference(device: torch.device) -> float:
    """Return the share of other codes than torch's, of rows by some books of Mimi's size."""
    from worker.engine.network.kernels.codebooks import nearest

    generator = torch.Generator(device).manual_seed(3)
    books = torch.randn(CODEBOOKS, CODES, BOOK_DIM, generator=generator, device=device)
    rest = torch.randn(ROWS, BOOK_DIM, generator=generator, device=device)
    found = nearest(rest, books, books.square().sum(dim=-1))
    wrong = 0
    for book, codes in zip(books, found, strict=True):
        wrong += int((torch.cdist(rest.double(), book.double()).argmin(dim=-1) != codes).sum())
        rest = rest - book[codes]
    return wrong / found.numel()


def by_id(draw: Draw, logits: torch.Tensor, stream: int) -> torch.Tensor:
    """Draw as `draws.py`, by torch: candidates by id, of equal scores the lower ids."""
    ranked = logits.argsort(dim=-1, descending=True, stable=True)
    ids = ranked[:, : draw.width].sort(dim=-1).values
    kept = draw.kept.gather(1, ranked.argsort(dim=-1).gather(1, ids))
    chance = draw.chance[:, stream]
    turned = torch.where(chance < 0.5, chance + 0.5, chance - 0.5)
    drawn = pick(logits.gather(1, ids), ids, draw.cold, kept, turned)
    return torch.where(chance > 0, drawn, ranked[:, 0])  # the best where greedy


@torch.inference_mode()
def product_differences(device: torch.device, dtype: torch.dtype) -> list[float]:
    """Return the largest differences of products of few rows, and of the depformer's attention."""
    from worker.engine.network.kernels import attention, products

    generator = torch.Generator(device).manual_seed(2)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    differences: list[float] = []
    for rows in (1, products.MOST_ROWS):
        for width in WIDTHS:
            weight, x = noise(SIZE, width), noise(rows, width) / width**0.5
            expected = F.linear(x.float(), weight.float())  # cuBLAS rounds sums
            differences.append(apart(products.product(weight, x), expected))
            differences.append(apart(products.gelu_product(weight, x), F.gelu(expected)))
            gates, value = (expected / 2).to(dtype).chunk(2, dim=-1)
            y = products.gated_product(weight, x / 2)
            differences.append(apart(y, F.silu(gates) * value))
    qkv = noise(CODEBOOKS, ROWS, 3, HEADS, CODEC_DIM)
    for positions in range(2, CODEBOOKS + 1):
        q, keys, values = qkv[:positions].permute(2, 1, 3, 0, 4)
        expected = F.scaled_dot_product_attention(q[:, :, -1:], keys, values).reshape(ROWS, -1)
        y = attention.attend_last(qkv, positions)
        differences.append(apart(y, expected))
    return differences


def codec_difference(device: torch.device, *, tf32: bool) -> float:
    """Return the largest difference in a small Mimi's sound and state, against its loudest.

    Others' codecs are computed without TF32, by other algorithms of cuDNN.
    """
    cudnn = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, tf32
    try:
        return _codec_difference(device)
    finally:
        cudnn.allow_tf32 = before


@torch.inference_mode()
def _codec_difference(device: torch.device) -> float:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        mimi = [module.to(device) for module in _small_mimi()]
        sound = torch.randn(CODEC_STEPS, ROWS, 1, SAMPLES).to(device)
    memories = [Memory(ROWS, device) for _ in range(2)]
    by_torch, by_kernels = (
        [stage(part, layers, memory.rows(ROWS, "codec"), str(n)) for n, part in enumerate(mimi)]
        for layers, memory in zip(
            (CodecLayers(kernels=kernels) for kernels in (False, True)), memories, strict=True
        )
    )
    difference = 0.0
    for n, x in enumerate(sound):
        runs = torch.arange(ROWS, device=device) != n  # each row pauses once
        expected = got = x
        for one, other in zip(by_torch, by_kernels, strict=True):
            expected, got = one(expected, runs), other(got, runs)
        kept = zip(*(memory.tensors.values() for memory in memories), strict=True)
        for one, other in [(expected, got), *((a, b) for a, b in kept if a.numel())]:
            loudest = float(one.float().abs().max().clamp(1e-6))
            difference = max(difference, apart(one, other) / loudest)
    return difference


def _small_mimi() -> list[nn.Module]:
    """Return convolutions of each kind that Mimi has, from one channel and to one, by stage."""
    conv = partial(StreamingConv1d, causal=True)
    transposed = partial(StreamingConvTranspose1d, causal=True)
    block = partial(SEANetResnetBlock, CHANNELS, causal=True, pad_mode="constant")
    wide = 2 * CHANNELS
    encoder = [conv(1, CHANNELS, 7), block(), nn.ELU(), conv(CHANNELS, wide, 4, 2)]
    grown = [transposed(wide, CHANNELS, 4, 2), block(), nn.ELU()]
    decoder = [conv(wide, wide, 3), nn.ELU(), *grown, transposed(CHANNELS, CHANNELS, 4, 2)]
    return [
        nn.Sequential(*encoder),
        conv(wide, wide, 4, 2, pad_mode="replicate"),
        transposed(wide, wide, 4, 2, groups=wide),
        nn.Sequential(*decoder, block(), nn.ELU(), conv(CHANNELS, 1, 3)),
    ]
