"""Interpolate: an image resized by the DPU, by copies, or by a SHAVE kernel."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse import kernels
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.fuse.matmul import channels_last
from npusim.lowering.ir.nodes import Concat, Depthwise, Pool, Window
from npusim.lowering.ir.values import ADDED_CONSTANT, Value

#: Factors by which pixels are copied and then averaged, where the DPU does not read through addresses.
COPIED_FACTORS = (2, 3)


def interpolate(fuser: Fuser, op: Op) -> None:
    """Nearest neighbours are read, or copied, as they are; what is linear between the centres of pixels, and grows by
    whole factors, is averaged with the pixels beside it along columns and rows; a SHAVE kernel does all else."""
    x, made = fuser.values[op.inputs[0]], fuser.fresh(op)
    kept = (
        -2 if x.shape[:-2] == made.shape[:-2] else -3
    )  # channels, of which rows and columns are interpolated
    by_address = fuser.software.storage_elements is not None
    image = len(made.shape) == 4 and (by_address or made.shape[0] == 1)
    seen = x if image else replace(fuser.plain(x, op), shape=_image(x.shape, kept), order=())
    shape = made.shape if image else _image(made.shape, kept)
    factors = [
        out // into if out % into == 0 else 0 for into, out in zip(seen.shape[2:], shape[2:], strict=True)
    ]
    nearest = str(op.attrs.get("mode", "nearest")).endswith("nearest")
    centred = str(op.attrs.get("coordinate_transformation_mode", "half_pixel")).endswith("half_pixel")
    if by_address and (nearest or (centred and all(factors))):
        result = _addressed(fuser, op, seen, replace(made, shape=shape, order=()), nearest, factors)
    elif nearest and all(factors):
        result = _copied(fuser, op, seen, factors)
    elif centred and all(factor in COPIED_FACTORS for factor in factors):
        result = _averaged(fuser, op, fuser.plain(seen, op), shape, factors)
    else:
        kernels.kernel(fuser, op)
        return
    fuser.values[op.outputs[0]] = (
        result if image else replace(fuser.plain(result, op), shape=made.shape, order=())
    )


def _image(shape: tuple[int, ...], kept: int) -> tuple[int, int, int, int]:
    """A shape as that of an image: the first dimensions, up to ``kept``, are its channels."""
    shape = (1,) * (3 - len(shape)) + shape
    return 1, prod(shape[:kept]), prod(shape[kept:-1]), shape[-1]


def _addressed(fuser: Fuser, op: Op, x: Value, result: Value, nearest: bool, factors: list[int]) -> Value:
    """On the DPU, which reads pixels through a table of their addresses (storage elements): nearest ones at once,
    linear ones along columns, then rows, by windows of as many pixels as the factor, one more where that is even."""
    height, width = (1 if nearest else factor | 1 for factor in factors)
    steps = [Window((1, 1), addressed=True)] if nearest else []
    steps += [Window((1, width), addressed=True)] * (width > 1) + [Window((height, 1), addressed=True)] * (
        height > 1
    )
    for step in steps:
        last = step is steps[-1]
        narrow = (*x.shape[:3], result.shape[3])
        out = result if last else Value(fuser.storage(), narrow, x.bits, x.bits)
        node = Pool(op.name, op.type, (x,), channels_last(out, 2), window=step, largest=False)
        fuser.emit(op, node) if last else fuser.add(node)
        x = node.output
    return x


def _copied(fuser: Fuser, op: Op, x: Value, factors: list[int]) -> Value:
    """Every column, then every row written as often as the factor says, in the memory order that the image has."""
    order = x.order or (0, 1, 2, 3)
    for axis, factor in ((3, factors[1]), (2, factors[0])):
        if factor > 1:
            place = order.index(axis) + 1
            outer, inner = (prod(x.shape[d] for d in part) for part in (order[:place], order[place:]))
            line = replace(x, shape=(1, outer, 1, inner), order=())
            made = _joined(fuser, op, [line] * factor, (1, outer, factor, inner))
            shape = tuple(size * factor if d == axis else size for d, size in enumerate(x.shape))
            x = replace(made, shape=shape, order=x.order)
    return x


def _averaged(fuser: Fuser, op: Op, x: Value, shape: tuple[int, ...], factors: list[int]) -> Value:
    """Pixels copied so often that a window's centre falls between the right ones, the edges once more, and averaged."""
    copies = [factor if factor % 2 else 2 * factor for factor in factors]
    x = _copied(fuser, op, x, copies)
    for axis in (3, 2):
        edge = tuple(1 if d == axis else size for d, size in enumerate(x.shape))
        edges = replace(x, shape=edge, order=(), partial=True)
        wider = tuple(size + 2 * (d == axis) for d, size in enumerate(x.shape))
        x = _joined(fuser, op, [edges, x, edges], wider, axis)
    stride = copies[0] // factors[0], copies[1] // factors[1]
    taps = Value(ADDED_CONSTANT, (shape[1], 1, 1, *copies), constant=True)
    out = channels_last(Value(fuser.storage(), tuple(shape), x.bits, x.bits), 2)
    window = Window((copies[0], copies[1]), stride)
    return fuser.add(Depthwise(op.name, op.type, (x, taps), out, window=window)).output


def _joined(fuser: Fuser, op: Op, parts: list[Value], shape: tuple[int, ...], axis: int = 2) -> Value:
    made = Value(fuser.storage(), shape, parts[0].bits, parts[0].bits)
    return fuser.add(Concat(op.name, op.type, tuple(parts), made, axis=axis)).output
