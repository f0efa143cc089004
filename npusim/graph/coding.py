"""How the numbers of constants are coded: zeros, groups that share a scale, zero points.

The numbers themselves are looked at in samples, so that reading a large model costs no more. Those of a file that lacks
its weights are read as zeros (``graph.load``): a constant that is all zeros is one that is not known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from npusim.graph.ir import PLAIN, Coding, Tensor

#: Stretches of a constant that are looked at, and numbers of each: long enough for patterns of a few taps or channels.
_STRETCHES, _LENGTH = 64, 1024
#: The zero point of a type that has no negative numbers and is symmetric (of 4 bits: of a pair of numbers).
_MIDDLE = {"u8": 0x80, "u4": 0x88}
#: Ops that leave zeros zeros, and scales where they are.
_SCALING = frozenset(
    {"Convert", "Multiply", "Divide", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "FakeQuantize"}
)


def stored_coding(node: Any) -> Coding:
    """The coding of an OpenVINO Constant, from samples of its numbers (of 4 bits: from pairs of them)."""
    try:
        numbers = _sample(node.data.reshape(-1))
    except (RuntimeError, ValueError):  # element types that numpy lacks
        return PLAIN
    if not numbers.size or numbers.dtype == object:
        return PLAIN
    zeros = float(np.count_nonzero(numbers == 0)) / numbers.size
    only = float(numbers[0]) if np.all(numbers == numbers[0]) else None
    return Coding(zeros=0.0 if zeros == 1.0 else zeros, only=only)


def _sample(numbers: np.ndarray) -> np.ndarray:
    if numbers.size <= _STRETCHES * _LENGTH:
        return numbers
    starts = np.linspace(0, numbers.size - _LENGTH, _STRETCHES).astype(np.int64)
    return np.concatenate([numbers[start : start + _LENGTH] for start in starts])


def folded_coding(kind: str, inputs: list[Tensor]) -> Coding:
    """The coding of what an op makes of constants: scales of groups and zero points join that of the largest one."""
    data, *others = sorted(inputs, key=lambda tensor: -tensor.elements)
    if kind == "Subtract" and others:
        point = others[0].coding.only
        middle = _MIDDLE.get(others[0].stored_dtype, 0)
        shift: Literal["none", "one", "each"] = (
            "each" if point is None else "none" if point == middle else "one"
        )
        return replace(data.coding, zeros=0.0, shift=shift)
    if kind == "GatherElements":  # the numbers of tables, by the places that are stored
        return replace(PLAIN, table=True)
    if kind == "Add" and data.coding.table:  # and the few that they lack
        return data.coding
    if kind not in _SCALING:
        return PLAIN
    groups = _groups(data, others[0]) if kind in ("Multiply", "Divide") and others else 1
    return replace(data.coding, groups=max(groups, data.coding.groups))


def _groups(data: Tensor, scale: Tensor) -> int:
    """Groups of [channels, groups, numbers] that have a scale each."""
    grouped = len(data.shape) == 3 and scale.shape == (*data.shape[:2], 1)
    return data.shape[1] if grouped else 1
