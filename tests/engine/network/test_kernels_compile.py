"""The kernels compile for cards that are not here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from worker.engine.network.kernels import (
    attention, codebooks, convolutions, draws, layers, products, rings
)

def build(architecture, kernel, types, warps, **constants):
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    built = compile(
        ASTSource(kernel, signature, constants),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": warps},
    )
    assert built.metadata.shared <= 99 * 1024, built.metadata.shared

sizes = dict(H="i32", R="i32", S="i32", softmax_scale="fp32", place="*i64", length="*i32")
whole = dict(maxima="*fp32", sums="*fp32", scales="*fp16", **sizes)
lengths = dict(offset="*i64", exec_mask="*i1", HALF="i32", **sizes)
lengths |= dict.fromkeys(("freqs", "laps", "turn"), "*fp32")
for architecture, int8 in ((80, False), (90, True)):
    kv = "*i8" if int8 else "*bf16"
    store = dict(projected="*bf16", turn="*fp32", rotated="*bf16", kv=kv, **whole)
    build(architecture, rings._append, store, 1, D=128, T=1, ROPE=True, INT8=int8)
    build(architecture, rings._place, lengths, 1, T=1, N=64, ROPE=True, LAP=4096)
build(
    80, attention._attend_dot, dict(q="*bf16", kv="*bf16", out="*fp32", **whole),
    attention.DOT_WARPS, D=128, N=attention.DOT_BLOCK, WHOLE=False, STAGES=attention.DOT_STAGES,
)
build(
    90, attention._attend_rows, dict(q="*bf16", kv="*i8", out="*fp32", **whole),
    attention.ROWS_WARPS, D=128, T=1, N=attention.LANES, U=attention.MOST_LOADS, INT8=True,
    WHOLE=False, TEXT=attention.BYTES_TO_FLOATS,
)
build(  # a codec's
    90, attention._attend_rows, dict(q="*fp32", kv="*fp32", out="*fp32", **whole),
    attention.ROWS_WARPS, D=64, T=2, N=attention.LANES, U=4, INT8=False, WHOLE=True, TEXT=None,
)
combine = dict(parts="*fp32", maxima="*fp32", sums="*fp32", out="*bf16")
build(90, attention._combine, combine, 1, S=attention.MOST_SPLITS, D=128)
last = dict(qkv="*bf16", out="*bf16", B="i32", H="i32", J="i32", softmax_scale="fp32")
build(90, attention._attend_last, last, 1, D=64, N=8)
rows = dict(weight="*bf16", x="*bf16", out="*bf16", N="i32", K="i32")
build(90, products._product, rows, 4, ROWS=4, PART=1024, EVEN=True, GATED=False, GELU=True)
build(90, products._product, rows, 4, ROWS=1, PART=4096, EVEN=False, GATED=False, GELU=False)
build(90, products._product, rows, 4, ROWS=2, PART=1024, EVEN=True, GATED=True, GELU=False)
norm = dict(
    x="*bf16", y="*bf16", scale="*bf16", weight="*fp32", bias="*fp32", total="*bf16",
    normed="*bf16", C="i32", eps="fp32", x_step="i32", index="*i64",
)
gate = dict(projected="*bf16", out="*bf16", H="i32")
numbers = ("seed", "frame", "top_k", "forced", "mode", "out", "unforced")
draw = dict(
    logits="*bf16", temperature="*fp32", word_chance="*fp32", finite="*i1", is_forced="*i1",
    step="i32", card="i32", width="i32", pad="i32", end="i32", stream="i32",
) | dict.fromkeys(numbers, "*i64")
for layer in (False, True):
    build(
        80, layers._add_norm, norm, layers.NORM_WARPS,
        N=4096, ADD=True, LOOK=not layer, SCALE=layer, CENTER=layer,
    )
near = dict(rests="*fp32", books="*fp32", squares="*fp32", found="*i64")
near |= dict(CARD="i32", C="i32", n="i32")
build(80, codebooks._nearest, near, 4, FIRST=False, BLOCK=codebooks.BLOCK, N=256)
build(80, layers._silu_gate, gate, 4, N=layers.GATE_BLOCK)
sound = "x more bias previous weight own_bias out y partial"
sound = dict.fromkeys(sound.split(), "*fp32") | dict(exec_mask="*i8", first="*i8")
strides = "x_b x_c x_t m_b m_c m_t y_b y_c y_t"
sound |= dict.fromkeys(("T C W kept stride dilation " + strides).split(), "i32")
summed = dict(BIAS=True, MORE=True, ELU=True)
build(80, convolutions._join, sound, 4, **summed, FIRST=True, KEPT=2, N_T=2, N_C=512)
build(90, convolutions._join, sound, 4, **summed, FIRST=False, KEPT=0, N_T=16, N_C=64)
few = dict(N_T=convolutions.MOMENTS, N_C=convolutions.MOST_CHANNELS)
build(80, convolutions._from_one, sound, 4, BIAS=True, KEPT=8, K=7, **few)
build(80, convolutions._to_one, sound, 4, **summed, OWN=True, KEPT=2, K=3, **few)
build(80, convolutions._overlap, sound, 4, KEPT=8, N_C=64)
build(80, draws._draw_code, draw, 4, N=2048, TILE=2048, ZEROS=16, CODES=8)
build(90, draws._draw_text, draw, 16, N=32768, TILE=draws.TILE, ZEROS=16)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kernels_compile_for_cards(tmp_path: Path) -> None:
    """bf16 compiles for an A100 and int8 for an H100, within the shared memory of an RTX card.

    ptxas comes with Triton and needs no card.
    """
    environment = {key: os.environ[key] for key in os.environ if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", COMPILE], env=environment, check=True)
