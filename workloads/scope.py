"""Making nodes: friendly names that say where in the model a node is, and constants that exist once a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from openvino import Node, Output
from openvino import opset15 as op
from openvino.op import Constant

from npusim.workloads.config import Shape
from npusim.workloads.weights import WeightSource

Value: TypeAlias = "Node | Output"
Operand: TypeAlias = "Value | int | float | tuple[int, ...]"


class Constants:
    """The constants that all layers of one model use in common, made on first use."""

    def __init__(self) -> None:
        """A model starts with none."""
        self._made: dict[str, Node] = {}

    def literal(self, value: int | float | tuple[int, ...]) -> Node:
        """An i64 scalar or vector from an int or a tuple, an f32 scalar from a float."""
        dtype = np.float32 if isinstance(value, float) else np.int64
        return self._once(f"literal {value!r}", lambda: Constant(np.array(value, dtype)))

    def above_diagonal(self, size: int, diagonal: int) -> Node:
        """Boolean [size, size], true where column - row >= diagonal: what torch.tril(diagonal - 1) leaves out."""
        return self._once(
            f"mask {size}x{size} column-row>={diagonal}",
            lambda: Constant(np.triu(np.ones((size, size), np.bool_), diagonal)),
        )

    def zeros(self, shape: Shape) -> Node:
        """f32 zeros of a shape, stored as FP16."""
        name = f"zeros {'x'.join(map(str, shape))}"
        return self._once(name, lambda: _decompressed(np.zeros(shape, np.float16), name))

    def _once(self, name: str, make: Callable[[], Node]) -> Node:
        node = self._made.get(name)
        if node is None:
            node = self._made[name] = make()
            node.set_friendly_name(name)
        return node


class Scope:
    """A place in the model, such as `layers.3.mixer`; calling it makes a node there."""

    def __init__(self, prefix: str, constants: Constants, weights: WeightSource) -> None:
        """`prefix` is empty for the model itself."""
        self.prefix = prefix
        self.constants = constants
        self._weights = weights

    def child(self, name: str) -> Scope:
        """The scope `name` within this one."""
        return Scope(self._full(name), self.constants, self._weights)

    def __call__(self, make: Callable[..., Node], name: str, *operands: Operand, **attributes: Any) -> Node:
        """A node `<prefix>.<name>`: `make` is an opset function; ints, floats and tuples of ints become constants."""
        literal = self.constants.literal
        inputs = [
            literal(operand) if isinstance(operand, (int, float, tuple)) else operand for operand in operands
        ]
        return self._named(name, make(*inputs, **attributes))

    def weight(self, name: str, shape: Shape | None = None, *, repeats: int = 1) -> Node:
        """Parameter `backbone.<prefix>.<name>`, reshaped: an FP16 constant and the Convert that widens it to f32.

        `repeats` lays that many copies along the first axis.
        """
        full = self._full(name)
        array = self._weights(f"backbone.{full}")
        if shape is not None:
            array = array.reshape(shape)
        return _decompressed(array if repeats == 1 else np.repeat(array, repeats, axis=0), full)

    def slice(self, name: str, x: Value, axis: int, start: int, stop: int) -> Node:
        """x[start:stop] along an axis."""
        return self(op.slice, name, x, (start,), (stop,), (1,), (axis,))

    def split(self, name: str, x: Value, axis: int, lengths: tuple[int, ...]) -> list[Output]:
        """Consecutive parts of x along an axis."""
        return self(op.variadic_split, name, x, axis, lengths).outputs()

    def concat(self, name: str, parts: Sequence[Value], axis: int) -> Value:
        """The parts one after another along an axis; a single part as it is."""
        return parts[0] if len(parts) == 1 else self._named(name, op.concat(list(parts), axis))

    def pad(self, name: str, x: Value, begin: tuple[int, ...], end: tuple[int, ...]) -> Value:
        """x with zeros around it; x itself where there is nothing to add."""
        if not any(begin) and not any(end):
            return x
        zero = self.constants.literal(0.0)
        return self(op.pad, name, x, begin, end, pad_mode="constant", arg_pad_value=zero)

    def reshape(self, name: str, x: Value, shape: Shape) -> Node:
        """x with another shape."""
        return self(op.reshape, name, x, shape, special_zero=False)

    def _named(self, name: str, node: Node) -> Node:
        # Not every opset function heeds its `name` argument (unsqueeze does not, in 2026.4.1).
        node.set_friendly_name(self._full(name))
        return node

    def _full(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name


def _decompressed(array: np.ndarray, name: str) -> Node:
    """FP16 constant -> Convert to f32, named as openvino.save_model(compress_to_fp16=True) names them.

    The constant refers to the array's memory and keeps it alive.
    """
    constant = Constant(np.ascontiguousarray(array), shared_memory=True)
    constant.set_friendly_name(f"{name}_compressed")
    return op.convert(constant, "f32", name=name)
