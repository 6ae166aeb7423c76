"""Refuse Moshi's weights in formats other than PyTorch's, recognised by name or by tensors.

Kyutai publishes each model for PyTorch, for MLX (Apple's chips) and for its Rust server (candle).
Pure but for a look into a folder.
"""

import re
from pathlib import Path

from protocol.errors import InvalidInput
from worker.engine.files.weight_files import Shapes

MLX, RUST = "MLX, for Apple's chips", "Moshi's Rust server (candle)"
IN_NAMES = {"mlx": MLX, "candle": RUST, "gguf": RUST}
# Names of tensors (kyutai-labs/moshi e6a55d2 moshi_mlx models/lm.py, rust/moshi-core lm.rs).
IN_TENSORS = {r"depformer\.slices\.\d+\.": MLX, r"depformer\.\d+\.": RUST}


def refuse_by_name(model: str) -> None:
    """Raise `InvalidInput` for a repository or folder whose name contains another format's."""
    kind = re.search(rf"(?<![a-z])({'|'.join(IN_NAMES)})(?![a-z])", model.rpartition("/")[2])
    if kind is not None:
        raise _refused(model, f"it is for {IN_NAMES[kind[1]]}")


def refuse_by_files(model: str) -> None:
    """Raise `InvalidInput` for a folder that holds gguf weights, where no others were found."""
    folder = Path(model).expanduser()
    names = sorted(path.name for path in folder.glob("*.gguf")) if folder.is_dir() else []
    if names:
        raise _refused(model, f"{names[0]} is for {RUST}")


def refuse_by_tensors(model: str, shapes: Shapes) -> None:
    """Raise `InvalidInput` for weights whose tensors have the names of another format."""
    for pattern, kind in IN_TENSORS.items():
        if any(re.match(pattern, name) for name in shapes):
            raise _refused(model, f"its weights are for {kind}")


def _refused(model: str, why: str) -> InvalidInput:
    voice = "moshika" if "moshika" in model else "moshiko"
    return InvalidInput(
        f"MODEL={model!r}: {why}; expected PyTorch's weights, as kyutai/{voice}-pytorch-bf16 has "
        "them"
    )
