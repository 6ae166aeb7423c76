"""The memory plan: weights + sessions + margin, and what would fit instead."""

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.doctor.fit.gpu import Card
from deploy.doctor.fit.recogniser import RecogniserSizes, recogniser_sizes
from deploy.doctor.fit.sizes import EIGHT_BIT_MODEL, SEVEN_B_IN_8_BITS, ModelSizes
from protocol.errors import InvalidInput
from worker.engine.capacity import SHORTEST_CONTEXT, MemoryPlan
from worker.engine.files.recognisers import kyutais
from worker.engine.kv_choice import KvType, choose

REAL_TIME_BYTES = 200 << 20  # weights that a CPU core reads in time; the worker warns too
PCIE_BYTES_S = 25e9  # what a card's bus carries in practice (PCIe 4.0 x16)
FRAME_MS = 80


def sessions(
    sizes: ModelSizes,
    card: Card | None,
    cpu_free_bytes: int,
    capacity: int | None,
    kv_dtype: KvType = "auto",
    stt: str = "off",
) -> Finding:
    """Check how many sessions of the model fit into memory."""
    if card is None:
        return _on_cpu(sizes, cpu_free_bytes, capacity)
    name = kyutais(stt, on_gpu=True)
    recogniser = None if name is None else recogniser_sizes(name)
    plan = _plan(sizes, card, capacity, kv_dtype, recogniser)
    if stt == "auto" and plan.most < (capacity or 1):
        plan, recogniser = _plan(sizes, card, capacity, kv_dtype), None
    about = ""
    if recogniser is not None and recogniser.is_about:
        about = f"; about, as far as {name} goes, whose files are not here yet"
    try:
        return ok("sessions.plan", plan.line(plan.slots(capacity)) + about)
    except InvalidInput as error:
        if capacity is not None and _fits(sizes, card, kv_dtype):
            return fail("sessions.too_many", str(error), "an empty CAPACITY= takes as many as fit")
        need = str(error).partition("; what would fit")[0]
        return fail("sessions.no_room", need, _what_fits(sizes, card, kv_dtype))


def unknown(model: str) -> Finding:
    """Return a finding for a model of unknown size."""
    advice = "start the worker once; it prints its plan before it loads the model"
    return warn(
        "sessions.unknown", f"MODEL={model!r}: its size is unknown until it is here", advice
    )


def _on_cpu(sizes: ModelSizes, free_bytes: int, capacity: int | None) -> Finding:
    plan = sizes.plan("cpu", free_bytes, on_gpu=False)
    try:
        line = plan.line(plan.slots(capacity))
    except InvalidInput as error:
        return fail("sessions.no_memory", str(error), "MODEL=pocket fits everywhere; or a GPU")
    if sizes.weights_bytes > REAL_TIME_BYTES:
        advice = "MODEL=pocket keeps up on a CPU; this one needs a GPU"
        return warn("sessions.too_slow", f"{line}, but a CPU is too slow for it", advice)
    return ok("sessions.cpu", line)


def _plan(
    sizes: ModelSizes,
    card: Card,
    capacity: int | None,
    kv_dtype: KvType,
    recogniser: RecogniserSizes | None = None,
) -> MemoryPlan:
    """Return the worker's plan with the type of keys and values that the worker would choose."""
    own, in_int8 = (
        sizes.plan(card.name, card.free_bytes, on_gpu=True, int8=each, recogniser=recogniser)
        for each in (False, True)
    )
    return choose(
        kv_dtype, own, in_int8, own_type="bfloat16", capacity=capacity, no_kernels=None
    ).plan


def _fits(sizes: ModelSizes, card: Card, kv_dtype: KvType) -> int:
    """Return how many sessions fit."""
    try:
        return _plan(sizes, card, None, kv_dtype).slots(None)
    except InvalidInput:
        return 0


def _what_fits(sizes: ModelSizes, card: Card, kv_dtype: KvType) -> str:
    """Return advice on what would fit: 8-bit weights, a shorter context, or a smaller model."""
    asked = SEVEN_B_IN_8_BITS.at_context(sizes.context_frames)
    shortest = asked.at_context(SHORTEST_CONTEXT)
    if sizes.weights_bytes > asked.weights_bytes:
        for each in (asked, shortest):
            if count := _fits(each, card, kv_dtype):
                return (
                    f"MODEL={EIGHT_BIT_MODEL} CONTEXT={each.context_frames} holds {count} sessions "
                    "in 8 bits (pip install bitsandbytes; slower, and not tested here)"
                )
    tail = "what fits: MODEL=pocket, or a card from 24 GB on"
    if _fits(sizes.at_context(SHORTEST_CONTEXT), card, kv_dtype):
        return f"CONTEXT={SHORTEST_CONTEXT} would fit; or a larger card"
    copied_ms = sizes.weights_bytes / PCIE_BYTES_S * 1000
    return (
        "neither 8-bit weights nor a shorter context fit this card. Weights kept in the CPU's "
        f"memory would have to be copied for every frame: {copied_ms:.0f} ms or more of "
        f"{FRAME_MS}, so that is not offered; {tail}"
    )
