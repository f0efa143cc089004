"""The Graph: ops, tensors, shapes and element types of one inference, with no hardware in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

#: Bits of one element, by element type name (OpenVINO's names).
BITS = {
    "f64": 64, "f32": 32, "f16": 16, "bf16": 16, "f8e4m3": 8, "f8e5m2": 8,
    "i64": 64, "u64": 64, "i32": 32, "u32": 32, "i16": 16, "u16": 16, "i8": 8, "u8": 8, "boolean": 8,
    "i4": 4, "u4": 4, "nf4": 4, "u6": 6, "u3": 3, "i2": 2, "u2": 2, "u1": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coding:
    """What a compiler sees in the numbers of a constant besides their shape and type.

    ``groups``: numbers along the last axis share scales in so many groups, 1 where one scale serves all of a channel.
    ``shift``: the zero point that is subtracted from what is stored: none but the middle of the type, one for all
    channels, or one for each. ``zeros`` is the share of numbers that are 0; ``only`` the one number that all are, if
    so; both of what can be read. ``table``: what is stored are places in a table of each row.
    """

    groups: int = 1
    shift: Literal["none", "one", "each"] = "none"
    zeros: float = 0.0
    only: float | None = None
    table: bool = False


#: The coding of numbers of which nothing is known.
PLAIN = Coding()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value that flows between ops.

    ``dtype`` is the type it is executed with (an FP32 model runs as FP16, so floating tensors are ``f16``);
    ``stored_dtype`` differs from it for compressed constants (INT8 or INT4 weights behind a Convert) and for
    graph inputs and outputs whose interface is wider than what is executed.
    ``value`` holds small constants that lowering needs to read (axes, scalars); None otherwise. ``coding`` says what
    the numbers of large ones are like.
    """

    id: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    stored_dtype: str
    constant: bool = False
    value: Any = field(default=None, compare=False, repr=False)
    coding: Coding = PLAIN

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes as executed (activations) or as stored (constants)."""
        return (self.elements * BITS[self.stored_dtype if self.constant else self.dtype] + 7) // 8


@dataclass(frozen=True, slots=True)
class Op:
    """One operation. ``attrs`` are OpenVINO's attributes plus constant inputs by name (``axes``, ``begin`` ...)."""

    name: str
    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """Ops in a topological order that does not depend on the order of the file they came from.

    ``tensors[i].id == i``. ``inputs`` and ``outputs`` are tensor ids. ``notes`` are remarks for the user
    (a .bin that was missing, a constant that was cut).
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Short: a Graph may have a hundred thousand tensors."""
        return f"<Graph: {self.name}, {len(self.ops):,} ops, {len(self.tensors):,} tensors>"
