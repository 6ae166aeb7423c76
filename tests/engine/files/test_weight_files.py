"""Errors about a weight file say what is wrong and what to do."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from protocol.errors import InvalidInput
from worker.engine.files.weight_files import read_shapes

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 15379000000\n"


def whole(path: Path, name: str = "a", rows: int = 20) -> Path:
    """Write a whole file of one tensor."""
    save_file({name: np.zeros((rows, 3), np.float32)}, path)
    return path


def pickled() -> bytes:
    """Return the bytes that `torch.save` writes."""
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS, r"a git-lfs pointer to a file of 14666\.6 MiB, .*`git lfs pull`"),
        (b"GGUF\x03\x00\x00\x00", r"a gguf file, .*kyutai/moshiko-pytorch-bf16"),
        (pickled(), r"a PyTorch pickle, which may run code; save it as safetensors"),
        (b"\x80\x02}q\x00", r"a PyTorch pickle"),
        (b"<!DOCTYPE html><html>", r"a web page: the download gave a page"),
        (b"", r"it is empty: its download was cut short"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """The refusal names the file, what it is instead, and what to do."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"model\.safetensors: not a whole .*: " + message):
        read_shapes(path)


def test_the_refusal_of_a_short_file_has_both_sizes(tmp_path: Path) -> None:
    """A file cut short in its tensors is refused with both sizes, in its header with its own."""
    path = whole(tmp_path / "model.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(InvalidInput, match=f"has {len(content) - 10} of {len(content)} bytes"):
        read_shapes(path)
    path.write_bytes(content[:30])

    with pytest.raises(InvalidInput, match="it ends after 30 bytes, in its header"):
        read_shapes(path)


def test_a_folder_as_weight_file_is_refused(tmp_path: Path) -> None:
    """A folder where a file was expected is refused with the system's reason."""
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        read_shapes(tmp_path)


def test_tensors_of_several_files_are_one_model(tmp_path: Path) -> None:
    """Files are read as one model, and a tensor in two of them is refused."""
    first, second = whole(tmp_path / "1.safetensors"), whole(tmp_path / "2.safetensors", "b", 5)
    assert read_shapes(first, second) == {"a": (20, 3), "b": (5, 3)}

    with pytest.raises(InvalidInput, match=r"3\.safetensors: the tensor a lies in 1"):
        read_shapes(first, whole(tmp_path / "3.safetensors"))
