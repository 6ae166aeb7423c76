"""The ring of keys and values: both types, read by torch and by the kernels.

The kernels run on the card where there is one, else on the CPU through Triton's interpreter.
"""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.engine.test_step import GREEDY, sampled, sounds
from tests.engine.tiny import tiny_lm, tiny_mimi
from worker.engine.conversation.replay import tokens_ahead
from worker.engine.kv_choice import KvMemory
from worker.engine.network.kernels.check import MOST_DIFFERENCE
from worker.engine.network.kernels.comparisons import RINGS, by_id, kernel_difference
from worker.engine.network.language import Prefill, Weights
from worker.engine.network.memory import Memory
from worker.engine.network.positions import Filled, Places, Positions
from worker.engine.network.ring import KvRing, dequantize, quantize
from worker.engine.network.sampler import Draw
from worker.engine.step import MoshiStep

# Triton 3.6's interpreter with the pinned numpy.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0")

CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CARD else "cpu")
HEADS, DIM = 2, 16
CONTEXT = 12


@pytest.fixture
def kernels() -> ModuleType:
    """The kernels, compiled for the card or interpreted (tests/engine/conftest.py)."""
    return pytest.importorskip("worker.engine.network.kernels.attention")


@pytest.fixture
def without_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch multiply: interpreted, each product computes for a second."""
    products = pytest.importorskip("worker.engine.network.kernels.products")
    monkeypatch.setattr(products, "MOST_ROWS", 0)


def attended(q: torch.Tensor, kv: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Torch's attention over the first `length` places of each row, in float32."""
    bias = torch.zeros(len(q), 1, 1, kv.shape[3], device=q.device)
    places = torch.arange(kv.shape[3], device=q.device)
    bias.masked_fill_(places >= length[:, None, None, None], -torch.inf)
    keys, values = kv.float().unbind(1)
    return F.scaled_dot_product_attention(q.float()[:, :, None], keys, values, bias)[:, :, 0]


@pytest.mark.parametrize("splits", [1, 4])
@pytest.mark.parametrize("int8", [False, True])
def test_attention_reads_what_is_filled(kernels: ModuleType, int8: bool, splits: int) -> None:
    """Rows of every age get torch's attention over their filled places; a masked row gets 0."""
    torch.manual_seed(0)
    length = torch.tensor([1, 127, 0, 300, 129], dtype=torch.int32, device=DEVICE)
    q = torch.randn(5, 1, HEADS, DIM, dtype=torch.float16, device=DEVICE)
    place = (length - 1).clamp(min=0).long()
    kv = torch.randn(5, 2, HEADS, 300, DIM, dtype=torch.float16, device=DEVICE)
    kept, scales = quantize(kv) if int8 else (kv, None)
    kv = kv if scales is None else dequantize(kept, scales)
    places = torch.arange(300, device=DEVICE)
    beyond = (places >= length[:, None])[:, None, None]
    kept.masked_fill_(beyond[..., None], 100)  # must not be read
    out = kernels.attend(q, place, length, kept, scales, splits)[:, 0]

    running = length > 0
    expected = attended(q[running, 0], kv[running], length[running])
    torch.testing.assert_close(out[running].float(), expected, atol=2e-3, rtol=2e-3)
    assert not out[~running].any()


def ring_of(stored: KvMemory, ring: int, rows: int) -> tuple[KvRing, Memory]:
    """A layer's ring in a memory of its own."""
    memory = Memory(rows, DEVICE)
    dtype = torch.float16 if CARD else torch.float32
    layer = KvRing(memory.rows(rows, "lm"), "layer", HEADS, ring, DIM, dtype, stored)
    return layer, memory


def places_of(ring: int, frames: int = 1) -> tuple[Places, Places]:
    """What the positions of a step are for torch, and for the kernels."""
    freqs = torch.rand(DIM // 2, device=DEVICE)
    dtype = torch.float16 if CARD else torch.float32
    by_torch, by_kernels = (
        Places(ring, HEADS, DIM, freqs, dtype, DEVICE, kernels=kernels, step=frames)
        for kernels in (False, True)
    )
    return by_torch, by_kernels


@pytest.mark.parametrize("frames", [1, 2])
def test_kernels_find_torchs_places_and_rotations(kernels: ModuleType, frames: int) -> None:
    """Places, filled lengths and rotations are torch's, for new rows and for rows that wrap."""
    torch.manual_seed(3)
    ring = 5
    offset = torch.tensor([0, 1, 4, 9, 3000, 30_000_000], device=DEVICE)
    runs = torch.tensor([True, False, True, True, True, True], device=DEVICE)
    by_torch, by_kernels = places_of(ring, frames)
    positions, filled = (each.share(offset, frames, runs) for each in (by_torch, by_kernels))

    assert isinstance(positions, Positions) and isinstance(filled, Filled)
    assert positions.turn is not None and filled.turn is not None
    assert filled.place.tolist() == positions.index[:, 0, 0, 0, 0].tolist()
    seen = (positions.bias[:, 0, -1] == 0).sum(dim=-1)
    assert filled.length.tolist() == torch.where(runs, seen, 0).tolist()
    turn = torch.view_as_real(positions.turn[:, 0, 0])
    torch.testing.assert_close(filled.turn, turn, atol=2e-6, rtol=0)


def test_rotations_are_right_after_weeks() -> None:
    """In a call of two weeks Mimi's positions still turn by their angle, each by its own."""
    freqs = torch.tensor([1.0, 0.37, 0.01], device=DEVICE)
    places = Places(5, HEADS, 6, freqs, torch.float32, DEVICE)
    offset = torch.tensor([30_000_000, 30_000_001], device=DEVICE)
    turn = places.share(offset, 1, torch.ones(2, dtype=torch.bool, device=DEVICE)).turn
    assert turn is not None
    angle = offset[:, None].double() * freqs.double()
    right = torch.complex(angle.cos(), angle.sin())
    assert (turn[:, 0, 0, 0].to(right.dtype) - right).abs().max() < 0.01


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize(("int8", "frames"), [(False, 1), (True, 1), (False, 2), (True, 2)])
def test_kernels_write_and_read_as_torch_at_every_place(
    kernels: ModuleType, int8: bool, frames: int
) -> None:
    """Twice around the ring, rows of different ages and some masked: the same ring, the same sound.

    A position of a step does not see the next one. A masked row is not written at all, where torch
    writes what its next frame writes again.
    """
    torch.manual_seed(1)
    ring = 5
    by_torch, expected = ring_of(KvMemory(int8), ring, rows=3)
    by_kernels, memory = ring_of(KvMemory(int8, kernels=True), ring, rows=3)
    for_torch, for_kernels = places_of(ring, frames)
    offset = torch.tensor([0, 3, 6], device=DEVICE)
    for n in range(2 * ring // frames):
        runs = torch.tensor([True, n % 3 != 1, True], device=DEVICE)
        x = torch.randn(3, frames, 3 * HEADS * DIM, device=DEVICE)
        x = x.half() if CARD else x
        y = by_torch(x, for_torch.share(offset, frames, runs))
        z = by_kernels(x, for_kernels.share(offset, frames, runs))
        torch.testing.assert_close(z[runs], y[runs], atol=2e-3 if CARD else 1e-5, rtol=1e-3)
        if runs.all():  # what torch wrote for the masked row is overwritten by now
            for name, tensor in memory.tensors.items():
                kept = expected.tensors[name].float()
                apart = 1 if CARD or tensor.dtype == torch.int8 else 1e-6  # cosines are rounded
                torch.testing.assert_close(tensor.float(), kept, atol=apart, rtol=0)
        offset = offset + runs * frames


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize(("int8", "frames"), [(False, 1), (True, 1), (False, 2)])
def test_the_check_at_the_start_reads_whole_rings(
    kernels: ModuleType, int8: bool, frames: int, ring: int, request: pytest.FixtureRequest
) -> None:
    """It finds no difference, and finds a quarter of the places left out."""
    if ring == max(RINGS):  # the shorter one is read by loads of eight places, as on a card
        request.getfixturevalue("few_programs")

    def difference() -> float:
        return kernel_difference(DEVICE, torch.float16, DIM, frames, ring=ring, int8=int8)

    def attend(q: torch.Tensor, place: torch.Tensor, length: torch.Tensor, *ring: Any) -> Any:
        return right(q, place, length - length // 4, *ring)

    assert difference() <= MOST_DIFFERENCE / 4  # bfloat16 has three bits less than float16
    right = kernels.attend
    request.getfixturevalue("monkeypatch").setattr(kernels, "attend", attend)
    assert difference() > MOST_DIFFERENCE


def test_the_check_at_the_start_finds_what_is_no_number(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that gives NaN differs from torch."""
    monkeypatch.setattr(kernels, "attend", lambda q, *_: q * torch.nan)
    assert kernel_difference(DEVICE, torch.float16, DIM, ring=RINGS[0]) > MOST_DIFFERENCE


@pytest.mark.parametrize(("int8", "frames"), [(False, 1), (True, 1), (False, 2)])
def test_the_check_at_the_start_finds_parts_that_are_combined_wrongly(
    kernels: ModuleType, int8: bool, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer of its rings is read by several programs."""

    def combine(parts: torch.Tensor, maxima: object, sums: object, out: Any, **_: int) -> None:
        out.view(-1, DIM).copy_(parts.mean(dim=1))

    monkeypatch.setattr(kernels, "_combine", {(2 * frames * HEADS,): combine})
    how = (DEVICE, torch.float16, DIM, frames)
    assert kernel_difference(*how, ring=max(RINGS), int8=int8) > MOST_DIFFERENCE


def test_scales_hold_what_is_tiny_and_what_is_large() -> None:
    """A vector differs from its int8 by half a step at most, whatever its size."""
    torch.manual_seed(2)
    x = torch.randn(6, DIM) * torch.tensor([0.0, 1e-4, 1e-2, 1.0, 1e2, 1e4])[:, None]
    kept, scale = quantize(x)
    error = (dequantize(kept, scale) - x).abs().amax(dim=-1)

    assert (error <= 0.55 * scale.float()).all()
    assert kept.abs().amax(dim=-1).tolist()[1:] == [pytest.approx(127, abs=4)] + [127] * 4


def int8_step(capacity: int, *, kernels: bool = False, context: int = CONTEXT) -> MoshiStep:
    """A step over the tiny Moshi that remembers in int8."""
    stored = KvMemory(int8=True, kernels=kernels)
    lm, mimi = tiny_lm(context=context).to(DEVICE), tiny_mimi().to(DEVICE)
    return MoshiStep(lm, mimi, capacity, stored=stored)


def listen(step: MoshiStep, slots: list[int], frames: int, seed: int = 4) -> list[list[int]]:
    """Let the slots hear the same frames; return the text of each at every frame."""
    mask = np.isin(np.arange(step.capacity), slots)
    heard = sounds(seed, frames)
    texts = [step.run(np.broadcast_to(f, (step.capacity, 1920)), mask).text for f in heard]
    return [[int(text[slot]) for text in texts] for slot in slots]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("without_products", "few_programs")
def test_a_step_with_kernels_is_the_step_without(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the ring's wrap kernels and torch give the same words, greedy or drawn by id."""
    monkeypatch.setattr(Draw, "token", by_id)
    texts: list[list[list[int]]] = []
    rings: list[torch.Tensor] = []  # of the first layer
    for use in (False, True):
        step = int8_step(2, kernels=use, context=4)  # interpreted, a frame computes for a second
        step.join(0, sampled(seed=3))
        texts.append(listen(step, [0], 1))
        step.join(1, GREEDY)
        texts[-1] += listen(step, [0, 1], 4, seed=5)
        rings.append(step.memory.tensors["lm.transformer.0.kv"].int())

    assert texts[0] == texts[1]
    torch.testing.assert_close(rings[1], rings[0], atol=1, rtol=0)
    assert all(len(set(each)) > 2 for each in texts[0][1:])


def test_int8_sessions_are_copied_with_their_scales() -> None:
    """A session that moves, and one that begins from a snapshot, go on as the one that stayed."""
    step = int8_step(4)
    for slot in (0, 2):
        step.join(slot, GREEDY)
    listen(step, [0, 2], CONTEXT + 3)
    step.move(2, 1)
    step.join(3, GREEDY)
    for part in ("lm", "codec"):
        step.memory.load(3, step.memory.save(0, part))
    stays, moved, loaded = listen(step, [0, 1, 3], CONTEXT, seed=6)

    assert stays == moved == loaded
    assert len(set(stays)) > 3


@pytest.mark.usefixtures("without_products")
def test_a_state_that_reads_ahead_attends_by_torch(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ring has a length of its own: kernels for one position would be compiled in a call."""
    monkeypatch.setattr(kernels, "attend", None)
    weights = Weights(tiny_lm(context=CONTEXT).to(DEVICE), KvMemory(kernels=True))
    Prefill(weights, 7).read(np.zeros((1, 1 + weights.lm.n_q), dtype=np.int64))


def test_an_int8_state_that_was_read_ahead_is_the_one_that_listened() -> None:
    """Read in pieces or one by one, keys and values are the same int8 but for rounding."""
    step = int8_step(1)
    step.join(0, GREEDY)
    columns: list[np.ndarray] = []
    for frame in sounds(12, CONTEXT):
        step.run(frame, np.array([True]))
        columns.append(step.columns[0].copy())
    lived = step.memory.save(0, "lm")
    prefill = Prefill(step.weights, CONTEXT)
    prefill.read(np.stack(columns[:7]))
    prefill.read(np.stack(columns[7:]))
    read = prefill.snapshot(*tokens_ahead(step.memory, 0))
    in_float = Prefill(Weights(step.weights.lm), CONTEXT)

    assert any(name.endswith("kv_scale") for name in read.rows)
    assert read.size_bytes < 0.5 * in_float.memory.save(0, "lm").size_bytes
    for name, row in read.rows.items():
        if name.endswith(".kv"):
            torch.testing.assert_close(row.int(), lived.rows[name].int(), atol=1, rtol=0)
        else:
            torch.testing.assert_close(row, lived.rows[name])
