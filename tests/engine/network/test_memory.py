"""The memory of slots: copied, cleared, saved and loaded in place, a slot at a time."""

import torch

from worker.engine.network.memory import Memory, Rows


def make() -> tuple[Memory, Rows, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a memory of three slots, each with a ring of four frames, an offset and a top-k."""
    memory = Memory(3, torch.device("cpu"))
    rows = memory.rows(3, "lm")
    ring = rows.take("ring", 2, 4, dtype=torch.float32, frames_dim=1)
    offset = rows.take("offset")
    top_k = memory.rows(3, "sampling").take("top_k", fill=1)
    ring.copy_(torch.arange(24.0).view(3, 2, 4))
    offset.copy_(torch.tensor([10, 20, 30]))
    top_k.copy_(torch.tensor([5, 6, 7]))
    return memory, rows, ring, offset, top_k


def test_all_batch_sizes_share_one_memory() -> None:
    """Rows for two slots are a view of the rows for three."""
    memory, _, ring, _, _ = make()
    two = memory.rows(2, "lm").take("ring", 2, 4, dtype=torch.float32, frames_dim=1)

    assert two.shape == (2, 2, 4)
    assert two.data_ptr() == ring.data_ptr()
    assert memory.slot_bytes == 2 * 4 * 4 + 8 + 8


def test_copy_takes_every_part_of_one_slot() -> None:
    """`copy` copies all parts of a slot and leaves the third slot alone."""
    memory, _, ring, offset, top_k = make()
    memory.copy(0, 2)

    assert torch.equal(ring[2], torch.arange(8.0).view(2, 4))
    assert offset.tolist() == [10, 20, 10]
    assert top_k.tolist() == [5, 6, 5]


def test_clear_resets_one_slot_and_leaves_its_ring() -> None:
    """A cleared slot has its first values; its ring, which the offset masks, stays."""
    memory, _, ring, offset, top_k = make()
    memory.clear(1)

    assert offset.tolist() == [10, 0, 30]
    assert top_k.tolist() == [5, 1, 7]
    assert ring[1].tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]


def test_deep_clear_zeroes_the_ring() -> None:
    """A deep clear of one part zeroes its ring, too, and leaves the other parts."""
    memory, _, ring, offset, top_k = make()
    ring[1, 0, 2] = torch.nan
    memory.clear(1, deep=True, parts=("lm",))

    assert ring[1].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert offset.tolist() == [10, 0, 30]
    assert top_k.tolist() == [5, 6, 7]


def test_snapshot_is_a_copy() -> None:
    """A snapshot does not change with its slot."""
    memory, _, ring, offset, _ = make()
    snapshot = memory.save(0, "lm")
    ring[0].zero_()
    offset[0] = 0
    memory.load(2, snapshot)

    assert torch.equal(ring[2], torch.arange(8.0).view(2, 4))
    assert offset.tolist() == [0, 20, 10]


def test_snapshot_of_a_short_session_is_short() -> None:
    """A snapshot of three frames holds three, and loading it leaves the rest of the ring."""
    memory, _, ring, offset, top_k = make()
    snapshot = memory.save(0, "lm", frames=3)
    memory.load(1, snapshot)

    assert snapshot.size_bytes == 2 * 3 * 4 + 8
    assert ring[1].tolist() == [[0, 1, 2, 11], [4, 5, 6, 15]]
    assert offset.tolist() == [10, 10, 30]
    assert top_k.tolist() == [5, 6, 7]


def test_no_tensor_changes_its_address() -> None:
    """Copy, clear and load happen in place."""
    memory, _, _, _, _ = make()
    before = {name: tensor.data_ptr() for name, tensor in memory.tensors.items()}
    memory.load(1, memory.save(0, "lm"))
    memory.copy(1, 2)
    memory.clear(0, deep=True)

    assert {name: tensor.data_ptr() for name, tensor in memory.tensors.items()} == before
