"""Making nodes: named after the op they stand for, with constants that exist once in a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import openvino as ov
from openvino import Node, Output, Type
from openvino import opset15 as op
from openvino.op import Constant

Value: TypeAlias = "Node | Output"
Made = TypeVar("Made")

#: Element types that a MatMul computes in.
REAL = (Type.f16, Type.bf16, Type.f32, Type.f64)


class Maker:
    """Makes the nodes of all rules of one pipeline."""

    def __init__(self, model: ov.Model) -> None:
        """Nothing is made yet; ``model`` is what is rewritten."""
        self.model = model
        self._made: dict[tuple[str, str], Node] = {}
        self._shared: dict[tuple[Hashable, ...], tuple[np.ndarray, Any]] = {}

    def node(self, name: str, made: Node) -> Node:
        """A node under a name."""
        made.set_friendly_name(name)
        return made

    def integers(self, values: int | Sequence[int]) -> Node:
        """An i64 scalar or vector."""
        text = f"xamba.{values}".replace(" ", "")
        return self._once(text, "i64", lambda: Constant(np.array(values, np.int64)))

    def constant(self, name: str, kind: Type, values: Callable[[], np.ndarray]) -> Node:
        """Real numbers as element type `kind`, made once for each name.

        They are stored as f16 and converted, like any other weight, if f16 holds them exactly, else as f32.
        """
        return self._once(name, kind.get_type_name(), lambda: _stored(name, kind, _narrowed(values(), kind)))

    def exact(self, name: str, kind: Type, values: Callable[[], np.ndarray]) -> Node:
        """Real numbers stored in the type that they are used in."""
        own = np.float16 if kind == Type.f16 else np.float64 if kind == Type.f64 else np.float32
        return self._once(name, kind.get_type_name(), lambda: _stored(name, kind, values().astype(own)))

    def triangle(self, size: int, kind: Type, *, exclusive: bool = False, reverse: bool = False) -> Node:
        """[size, size] of ones where the column counts towards the running sum at the row: column <= row, or, where
        `exclusive`, column < row; the other way round where `reverse`.
        """
        words = f"{' exclusive' if exclusive else ''}{' reverse' if reverse else ''}"
        ones, diagonal = np.ones((size, size), np.float32), int(exclusive)
        return self.constant(
            f"xamba.triangle {size}{words}",
            kind,
            lambda: np.triu(ones, diagonal) if reverse else np.tril(ones, -diagonal),
        )

    def ones(self, size: int, kind: Type, *, mean: bool = False) -> Node:
        """[1, size] of ones, or of 1 / size for a mean."""
        name = f"xamba.mean {size}" if mean else f"xamba.ones {size}"
        value = 1 / size if mean else 1.0
        return self.constant(name, kind, lambda: np.full((1, size), value, np.float32))

    def matmul(
        self, name: str, a: Value, b: Value, *, transpose_a: bool = False, transpose_b: bool = False
    ) -> Node:
        """a @ b"""
        return self.node(name, op.matmul(a, b, transpose_a, transpose_b))

    def reshape(self, name: str, x: Value, shape: Sequence[int]) -> Value:
        """x in another shape, of which a 0 copies the dimension of x; x itself where nothing would change."""
        now = x.get_partial_shape() if isinstance(x, Output) else x.output(0).get_partial_shape()
        if now.is_static and tuple(now.to_shape()) == tuple(shape):
            return x
        return self.node(name, op.reshape(x, self.integers(tuple(shape)), special_zero=True))

    def transpose(self, name: str, x: Value, order: Sequence[int]) -> Value:
        """x with its dimensions in another order; x itself where that is the order it has."""
        if tuple(order) == tuple(range(len(order))):
            return x
        return self.node(name, op.transpose(x, self.integers(tuple(order))))

    def once_for(self, memory: np.ndarray, how: Hashable, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made once for the same memory and ``how``: weights that share memory, as those of equal
        layers of a workload do, share what becomes of them."""
        key = (memory.__array_interface__["data"][0], memory.shape, memory.dtype.str, how)
        if key not in self._shared:
            self._shared[key] = memory, make()  # memory that is kept is not used again for something else
        made: Made = self._shared[key][1]
        return made

    def _once(self, name: str, kind: str, make: Callable[[], Node]) -> Node:
        made = self._made.get((name, kind))
        if made is None:
            made = self._made[name, kind] = self.node(name, make())
        return made


def _narrowed(values: np.ndarray, kind: Type) -> np.ndarray:
    """As f16, if it is used as that or nothing is lost."""
    narrow = values.astype(np.float16)
    return narrow if kind == Type.f16 or (narrow == values).all() else values


def _stored(name: str, kind: Type, values: np.ndarray) -> Node:
    """A constant of the array's own type, converted to `kind`."""
    stored = Constant(np.asarray(values, order="C"))
    if stored.get_element_type() == kind:
        return stored
    stored.set_friendly_name(f"{name}_compressed")
    return op.convert(stored, kind.get_type_name())


def constant_integers(value: Output) -> list[int] | None:
    """The elements of an integer constant; None where the value is not a constant."""
    node = value.get_node()
    if node.get_type_name() != "Constant":
        return None
    return [int(v) for v in np.asarray(node.data).reshape(-1)]
