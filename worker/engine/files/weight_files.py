"""Read the headers of safetensors files, and explain what is wrong with a file.

A model's tensors are in one file or in several.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from protocol.errors import InvalidInput

Shapes = Mapping[str, tuple[int, ...]]

CUT_SHORT = "its download was cut short, fetch it again"
LFS = b"version https://git-lfs"
GGUF = b"GGUF"
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
MOST_HEADER_BYTES = 100_000_000  # safetensors' own limit


def read_shapes(*paths: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all tensors in these files.

    Raises `InvalidInput` that names the file where one is not a whole safetensors file.
    """
    return {name: shape for shapes in shapes_by_file(*paths).values() for name, shape in shapes}


def shapes_by_file(*paths: Path) -> dict[Path, list[tuple[str, tuple[int, ...]]]]:
    """Return names and shapes of the tensors in each of these files, as `read_shapes` does."""
    found: dict[Path, list[tuple[str, tuple[int, ...]]]] = {}
    place: dict[str, Path] = {}
    for path in paths:
        found[path] = _shapes(path)
        for name, _ in found[path]:
            if name in place:
                raise InvalidInput(f"{path}: the tensor {name} lies in {place[name].name} too")
            place[name] = path
    return found


def _shapes(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    try:
        with safe_open(path, framework="np") as file:
            return [(name, tuple(file.get_slice(name).get_shape())) for name in file.keys()]  # noqa: SIM118  a file is no dict
    except (SafetensorError, OSError) as error:
        why = what_is_wrong(path) or str(error)
        raise InvalidInput(f"{path}: not a whole safetensors file: {why}") from error


def what_is_wrong(path: Path) -> str:
    """Return the fault of a file as a clause; empty where it is unknown."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(1024)
            if path.suffix != ".json" and size > 8 and head[8:9] == b"{":
                file.seek(8)
                return _cut_short(file.read(_header_bytes(head)), size, _header_bytes(head))
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return _other_kind(head, size)


def _other_kind(head: bytes, size: int) -> str:
    """Recognise a file of another kind by its first bytes."""
    if pointer := what_it_points_to(head):
        return pointer
    if head.startswith(GGUF):
        return (
            "a gguf file, for Moshi's Rust server; expected PyTorch's safetensors, as "
            "kyutai/moshiko-pytorch-bf16 has them"
        )
    if head.startswith((ZIP, PICKLE)):
        return "a PyTorch pickle, which may run code; save it as safetensors"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page: the download gave a page instead of the file"
    return f"it is empty: {CUT_SHORT}" if not size else ""


def what_it_points_to(head: bytes) -> str:
    """Explain that a file is only git-lfs's pointer; empty where it is not."""
    if not head.startswith(LFS):
        return ""
    size = re.search(rb"size (\d+)", head)
    whole = f" of {int(size[1]) / 2**20:.1f} MiB" if size else ""
    return (
        f"a git-lfs pointer to a file{whole}, not the file: run `git lfs pull` in that clone, "
        "or fetch the repository with `hf download`"
    )


def _header_bytes(head: bytes) -> int:
    return min(int.from_bytes(head[:8], "little"), MOST_HEADER_BYTES)


def _cut_short(header: bytes, size: int, header_bytes: int) -> str:
    """Explain how much of a safetensors file is missing; empty where it is whole."""
    if len(header) < header_bytes:
        return f"it ends after {size} bytes, in its header: {CUT_SHORT}"
    try:
        tensors = json.loads(header)
        ends = [each["data_offsets"][1] for name, each in tensors.items() if name[:2] != "__"]
        whole = 8 + header_bytes + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return ""
    return f"it has {size} of {whole} bytes: {CUT_SHORT}" if size < whole else ""
