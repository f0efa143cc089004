"""What kernels want of an image that the DPU makes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node, Unary, axis_of
from npusim.lowering.ir.values import Value


def read_in_channels(value: Value, readers: Sequence[Node], hw: Hardware) -> bool:
    """Whether kernels of several tiles alone read a value, that take what part of its channels a tile has: activations,
    and products with those where there is a row for each SHAVE (products of fewer see other dimensions)."""
    if any(_is_line(value, reader) for reader in readers):
        return False
    alone = hw.software.single_tile_kernels
    kernels = [n for n in readers if isinstance(n, Unary) and not n.runs("convert", *alone)]
    made = {n.output.storage for n in kernels}
    rows = value.shape[2] if len(value.shape) == 4 else 0
    tall = rows >= hw.tiles * hw.shave.per_tile
    products = [
        n for n in readers if n.runs("multiply") and tall and any(v.storage in made for v in n.inputs)
    ]
    return bool(kernels) and len(kernels) + len(products) == len(readers)


def _is_line(value: Value, reader: Node) -> bool:
    """Whether a value is one line to a reader that works along it, and needs it whole on every tile."""
    axis = axis_of(reader)
    seen = [v.shape for v in reader.inputs if v.storage == value.storage]
    return axis is not None and any(shape[axis] == prod(shape) for shape in seen)
