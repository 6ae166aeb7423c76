"""A step can be captured as one graph: fixed addresses, no read by the host, fixed shapes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from moshi.models.lm import LMGen
from moshi.models.loaders import get_mimi, get_moshi_lm
from moshi.utils.compile import no_compile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from protocol.personas import Persona
from tests.engine.tiny import tiny_lm, tiny_mimi
from worker.engine.files.weights import Unfilled
from worker.engine.kv_choice import KvMemory
from worker.engine.load import plan_memory
from worker.engine.step import MoshiStep

# A read by the host, or a shape that depends on data.
NOT_CAPTURABLE = {
    "aten._local_scalar_dense.default",
    "aten.nonzero.default",
    "aten.masked_select.default",
    "aten._unique2.default",
    "aten.equal.default",
}


class Capturing(TorchDispatchMode):
    """A dispatch mode that refuses what a CUDA graph cannot hold."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = str(func)
        assert name not in NOT_CAPTURABLE, name
        if name.startswith("aten.index"):
            indices = args[1] if isinstance(args[1], list | tuple) else []
            assert not any(i is not None and i.dtype == torch.bool for i in indices), name
        return func(*args, **(kwargs or {}))


@pytest.fixture
def step() -> MoshiStep:
    """Return a warm step of three sampled sessions, the second of which stalls."""
    step = MoshiStep(tiny_lm(), tiny_mimi(), 3)
    for slot in range(3):
        step.join(slot, Persona(name="sampled", label="Sampled"))
    for _ in range(3):
        run(step)
    return step


def run(step: MoshiStep) -> None:
    """Run one step in which the second slot stalls, so masks matter."""
    step.run(np.full((3, 1920), 0.1, dtype=np.float32), np.array([True, False, True]))


def tensors(thing: object, path: str, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor that an object of ours holds, with the path to it."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        yield path, thing
    elif isinstance(thing, list | tuple):
        for n, part in enumerate(thing):
            yield from tensors(part, f"{path}[{n}]", seen)
    elif isinstance(thing, dict):
        for key, part in thing.items():
            yield from tensors(part, f"{path}[{key}]", seen)
    elif callable(thing) and hasattr(thing, "__closure__"):
        for n, cell in enumerate(thing.__closure__ or ()):
            yield from tensors(cell.cell_contents, f"{path}({n})", seen)
    elif type(thing).__module__.startswith("worker.engine"):
        names = getattr(type(thing), "__slots__", None) or vars(thing)
        for name in names:
            yield from tensors(getattr(thing, name), f"{path}.{name}", seen)


def test_a_step_changes_no_tensors_address(step: MoshiStep) -> None:
    """After warm-up no tensor that the step holds changes its address over a step."""
    before = {path: tensor.data_ptr() for path, tensor in tensors(step, "step", set())}
    run(step)
    after = {path: tensor.data_ptr() for path, tensor in tensors(step, "step", set())}

    assert len(before) > 60  # the walk finds the rings, filters, sampling and tables
    assert before == after


def test_a_step_changes_only_memory_and_buffers(step: MoshiStep) -> None:
    """Only slots' memory and buffers change over a step, so moving a slot moves its session."""
    held = dict(tensors(step, "step", set()))
    before = {path: tensor.clone() for path, tensor in held.items()}
    run(step)
    changed = {path for path, tensor in held.items() if not torch.equal(tensor, before[path])}

    buffers = [
        step.buffers.pcm_in,
        step.buffers.exec_in,
        step.buffers.pcm_out,
        step.buffers.numbers_out,
    ]
    homes = [*step.memory.tensors.values(), *(buffer.device for buffer in buffers)]
    storages = {home.untyped_storage().data_ptr() for home in homes}
    elsewhere = {p for p in changed if held[p].untyped_storage().data_ptr() not in storages}
    assert len(changed) > 30
    # The depformer's queries, keys and values live within a step.
    assert {path for path in elsewhere if not path.endswith("._qkv")} == set()


def test_a_step_reads_nothing_back(step: MoshiStep) -> None:
    """A step has no read by the host and no shape that depends on data."""
    with torch.inference_mode(), Capturing():
        step.graphs[3].run()


class OnOneDevice(TorchDispatchMode):
    """A dispatch mode that refuses an operation with a tensor of the host."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        leaves = tree_leaves((args, kwargs or {}))
        assert {t.device.type for t in leaves if isinstance(t, torch.Tensor)} <= {"meta"}, func
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=[False, True], ids=["torch", "kernels"])
def stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> KvMemory:
    """Return how a step remembers; kernels compute nothing, and refuse tensors of the host."""
    if request.param:
        jit = pytest.importorskip("triton.runtime.jit")

        def launch(*args: object, **_: object) -> None:
            assert {t.device.type for t in args if isinstance(t, torch.Tensor)} <= {"meta"}

        monkeypatch.setattr(jit.KernelInterface, "__getitem__", lambda self, grid: launch)
    return KvMemory(kernels=request.param)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_uses_no_tensor_of_the_host(dtype: torch.dtype, stored: KvMemory) -> None:
    """On a device other than the host no tensor of the host takes part, and types agree.

    Nor is anything read there, or kept anew after the first step.
    """
    lm = tiny_lm().to(device="meta", dtype=dtype)
    step = MoshiStep(lm, tiny_mimi().to("meta"), 2, stored=stored)
    with torch.inference_mode():
        step.graphs[2].run()  # makes what a step keeps
        held = dict(tensors(step, "step", set()))
        with OnOneDevice():
            step.graphs[2].run()
    now = dict(tensors(step, "step", set()))
    assert len(held) > 60
    assert {path: id(each) for path, each in held.items()} == {p: id(t) for p, t in now.items()}


def test_moshis_own_7b_runs_in_the_memory_that_is_planned(stored: KvMemory) -> None:
    """A step of the full architecture takes the memory per slot that the plan says.

    It needs neither memory nor a GPU: on torch's meta device tensors are shapes alone.
    """
    meta = torch.device("meta")
    with Unfilled():
        lm, mimi = get_moshi_lm(None, None, meta, torch.bfloat16), get_mimi(None, None, meta)
    plan = plan_memory(lm, mimi, torch.device("cpu"), torch.bfloat16)
    step = MoshiStep(lm, mimi, 2, batch_sizes=[], stored=stored)
    with torch.inference_mode():
        step.graphs[2].run()

    assert (step.memory.slot_bytes, lm.context) == (pytest.approx(1.48 * 2**30, rel=0.005), 3000)
    planned = plan.slot_bytes + plan.context_frames * plan.frame_bytes
    assert step.memory.slot_bytes <= planned <= 1.01 * step.memory.slot_bytes


def test_upstream_cannot_be_captured() -> None:
    """`Capturing` refuses upstream's own step, which writes with a boolean mask."""
    lm_gen = LMGen(tiny_lm(), support_out_of_sync=True)
    lm_gen.streaming_forever(1)
    codes = torch.zeros(1, 8, 1, dtype=torch.long)
    with no_compile():
        lm_gen.step(codes)

    with pytest.raises(AssertionError, match=r"aten\.index_put_"), no_compile(), Capturing():
        lm_gen.step(codes)
