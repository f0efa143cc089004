"""Machine code from Python: numba's compiler with the settings that every kernel of the engine has.

Floats are added in the order written and never fused (no ``fastmath``), so that the same inputs give the same bytes
as Python would. The machine code is kept in the ``__pycache__`` beside the module, or, where that cannot be written,
in the user's cache folder (``NUMBA_CACHE_DIR`` overrides both). Where neither can be, every process compiles for
itself: some seconds later, the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function for the types it is first called with; it runs without the interpreter's lock."""
    settings = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # numba found no place for its cache
        return numba.njit(**settings)(function)


def part(function: Function) -> Function:
    """A part of a kernel, compiled into its callers."""
    return numba.njit(inline="always", error_model="numpy")(function)
