"""Triton's interpreter without what no kernel reads: half of its time was that.

Each operation of a kernel computes as before. Written for the pinned Triton; of another one
`lighten` raises where a name is gone.
"""

import inspect
from functools import cache, cached_property
from typing import Any

import numpy as np
from triton.language import core
from triton.runtime import interpreter


def lighten() -> None:
    """Change the interpreter of this process."""
    interpreter._patch_builtin = _patch_builtin
    interpreter._get_np_dtype = _np_dtype
    core.tuple.__init__ = _tuple
    core.tuple.type = cached_property(lambda self: core._type_for_tuple_values(self.values))
    core.tuple.type.__set_name__(core.tuple, "type")


@cache
def _builtins(package: Any) -> list[str]:
    """Return the names that the interpreter replaces, read before it first does."""
    return [name for name, each in inspect.getmembers(package) if core.is_builtin(each)]


def _patch_builtin(package: Any, builder: Any, scope: Any) -> None:
    """Replace them for a kernel, without looking at each name of the package once more."""
    for name in _builtins(package):
        if core.is_builtin(member := getattr(package, name)):
            interpreter._patch_attr(package, name, member, builder, scope)


_of_scalars = cache(interpreter._get_np_dtype)


def _np_dtype(tt_dtype: core.dtype) -> np.dtype[Any]:
    """Return numpy's type of an element: addresses are numbers."""
    of_one = tt_dtype.element_ty if isinstance(tt_dtype, core.block_type) else tt_dtype
    return np.dtype(np.uint64) if isinstance(of_one, core.pointer_type) else _of_scalars(of_one)


def _tuple(self: core.tuple, args: Any, type: Any = None) -> None:
    """Begin a tuple, as each tensor's shape is, whose type is found when it is asked for."""
    self.values = [*args]
    if type is not None:
        self.type = type if isinstance(type, core.tuple_type) else core.tuple_type(type)
