"""The kernels that draw: torch's random numbers, upstream's distribution, each row for itself.

They run on a GPU where there is one, else on the CPU through Triton's interpreter.
"""

from types import ModuleType

import pytest
import torch

from worker.engine.network.depformer import ALWAYS, AT_WORD, FREE, ForcedTokens
from worker.engine.network.drawing import TorchDraws
from worker.engine.network.kernels import comparisons
from worker.engine.network.kernels.check import MOST_DIFFERENCE
from worker.engine.network.kernels.comparisons import by_id, draw_differences
from worker.engine.network.memory import Memory
from worker.engine.network.sampler import DrawnText, Sampler, SamplingState, Widths

CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CARD else "cpu")
PAD, END = 3, 0
CODES = 8
CARDS = 32_000, 2048  # texts and codes of Moshi

# Interpreted, a kernel computes with numpy, which warns of what NaN and infinity give.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


@pytest.fixture
def kernels() -> ModuleType:
    """Return the kernels, compiled for the GPU or interpreted (tests/engine/conftest.py)."""
    return pytest.importorskip("worker.engine.network.kernels.draws")


class Slots:
    """Slots with their sampling and forced tokens, whose tokens are drawn in both ways."""

    def __init__(self, kernels: ModuleType, count: int, width: int) -> None:
        rows = Memory(count, DEVICE).rows(count, "sampling")
        self.sampling, self.forced = SamplingState.of(rows), ForcedTokens.of(rows, CODES)
        self.sampling.seed.copy_(torch.randint(2**62, (count,)))
        self.frame = torch.randint(2**20, (count,), device=DEVICE)
        self.widths = Widths(text=width, audio=width)
        parts = (self.sampling, self.forced, self.widths, (PAD, END))
        self.by_torch, self.by_kernels = TorchDraws(*parts), kernels.KernelDraws(*parts)

    def sample(self, temperature: float, top_k: int) -> None:
        """Let every slot sample so."""
        for each in (self.sampling.text_temperature, self.sampling.audio_temperature):
            each.fill_(temperature)
        for each in (self.sampling.text_top_k, self.sampling.audio_top_k):
            each.fill_(top_k)

    def text(self, logits: torch.Tensor) -> tuple[DrawnText, DrawnText]:
        """Draw by torch and by kernels."""
        return self.by_torch(self.frame)[0](logits), self.by_kernels(self.frame)[0](logits)

    def code(self, logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a codebook's codes by torch and by kernels."""
        return self.by_torch(self.frame)[1](logits, k), self.by_kernels(self.frame)[1](logits, k)


def noise(*shape: int) -> torch.Tensor:
    """Return normal noise."""
    return torch.randn(shape, device=DEVICE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_draw_inverts_the_sum_of_the_top_ks_chances(
    kernels: ModuleType, dtype: torch.dtype
) -> None:
    """With `Sampler.draws`'s random number a draw takes the id at which the chances pass it."""
    torch.manual_seed(0)
    slots = Slots(kernels, 8, 40)
    slots.sample(0.8, 40)
    top_k = torch.tensor([1, 2, 7, 25, 39, 40, 40, 90], device=DEVICE)
    slots.sampling.text_top_k.copy_(top_k)
    slots.sampling.audio_top_k.copy_(top_k)
    logits = (noise(8, 300) * 2).to(dtype)
    text, audio = Sampler(slots.sampling, slots.widths, CODES).draws(slots.frame)

    assert torch.equal(slots.text(logits)[1].unforced, by_id(text, logits, 0))
    for k in (0, 1, 7):
        assert torch.equal(slots.code(logits, k)[1], by_id(audio, logits, k))


def test_of_equal_scores_the_lower_ids_are_in_the_top_k(kernels: ModuleType) -> None:
    """A top-k that ends among equal scores takes the lower ids, and exactly as many as it says."""
    torch.manual_seed(5)
    slots = Slots(kernels, 48, 40)
    slots.sample(1.0, 5)
    scores = torch.zeros(48, 70)
    scores[:, [9, 30]], scores[:, 50] = 1.0, -0.0
    _, codes = slots.code(scores.to(DEVICE), 2)

    assert set(codes.tolist()) == {0, 1, 2, 9, 30}


@pytest.mark.parametrize("card", [40, 300, 9000])
def test_temperature_zero_draws_the_best_token(kernels: ModuleType, card: int) -> None:
    """At temperature 0 the best token is drawn, of equal ones the lower, whatever the top-k."""
    torch.manual_seed(1)
    slots = Slots(kernels, 3, 40)
    slots.sample(0.0, 7)
    logits = noise(3, card)
    logits[1, 20], logits[1, 33] = 9.0, 9.0
    logits[2] -= 1000.0
    best = [int(row.argmax()) for row in logits]
    best[1] = 20

    assert slots.text(logits)[1].unforced.tolist() == best
    assert slots.code(logits, 3)[1].tolist() == best


def test_a_row_does_not_depend_on_its_neighbours(kernels: ModuleType) -> None:
    """A row's token is the same beside other rows with other sampling, and broken logits."""
    torch.manual_seed(2)
    slots = Slots(kernels, 8, 40)
    slots.sample(0.9, 12)
    logits = noise(8, 100)
    before = slots.code(logits, 1)[1].tolist()
    slots.sampling.audio_temperature[1::2] = 3.0
    slots.sampling.audio_top_k[1::2] = 40
    logits[1::2] = torch.nan
    after = slots.code(logits, 1)[1].tolist()

    assert after[::2] == before[::2]
    assert all(0 <= token < 100 for token in after)


@pytest.mark.parametrize("card", [100, 9000])
def test_a_text_draw_says_what_torchs_says(kernels: ModuleType, card: int) -> None:
    """Forced tokens, the chance of a word and whether logits are finite are torch's.

    A row of more than a piece is added up in pieces.
    """
    torch.manual_seed(3)
    slots = Slots(kernels, 6, 1)
    logits = noise(6, card)
    logits[:2, PAD], logits[2, END] = 30.0, 30.0
    logits[3, card - 1], logits[4, 5] = torch.nan, -torch.inf
    slots.forced.text.fill_(17)
    slots.forced.text_mode.copy_(torch.tensor([FREE, ALWAYS, AT_WORD] * 2))
    torchs, ours = slots.text(logits)

    assert ours.finite.tolist() == torchs.finite.tolist()
    whole = torchs.finite
    torch.testing.assert_close(
        ours.word_chance[whole], torchs.word_chance[whole], rtol=1e-5, atol=0
    )
    assert torch.equal(ours.text[whole], torchs.text[whole])
    assert torch.equal(ours.unforced[whole], torchs.unforced[whole])
    assert ours.text[[0, 1, 2, 5]].tolist() == [PAD, 17, END, 17]


def test_a_forced_code_is_taken(kernels: ModuleType) -> None:
    """Where a codebook is forced, its code is the forced one; elsewhere it is drawn."""
    torch.manual_seed(4)
    slots = Slots(kernels, 4, 1)
    slots.forced.audio.copy_(torch.arange(4 * CODES).view(4, CODES) + 50)
    slots.forced.audio_mask.copy_(torch.rand(4, CODES) < 0.5)
    logits = noise(4, 40)

    for k in (0, 1, 7):
        torchs, ours = slots.code(logits, k)
        assert torch.equal(torchs, ours)


def test_the_check_at_the_start_finds_no_difference(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's check at its start finds the draws right, in the model's type."""
    monkeypatch.setattr(comparisons, "DRAWS", 4)  # interpreted, a draw computes for 0.1 s
    assert max(draw_differences(DEVICE, torch.bfloat16, CARDS)) <= MOST_DIFFERENCE


@pytest.mark.parametrize("wrong", ["_scramble", "_ordered"])
def test_the_check_at_the_start_finds_wrong_draws(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A worker's check at its start finds other random numbers, and scores in another order."""
    monkeypatch.setattr(comparisons, "DRAWS", 4)
    right = getattr(kernels, wrong)
    monkeypatch.setattr(kernels, wrong, lambda *args: right(*args) ^ 0x3F000000)
    assert max(draw_differences(DEVICE, torch.float32, CARDS)) > MOST_DIFFERENCE
