"""Fusion of the less frequent ops: those that only rearrange, and recurrent cells, which are MatMuls and gates."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse import matmul
from npusim.lowering.fuse.fuser import Fuser, same_order
from npusim.lowering.fuse.images import turned
from npusim.lowering.ir.images import CHANNELS_LAST, is_image
from npusim.lowering.ir.nodes import (
    BlockCall,
    Concat,
    Conv,
    DepthToSpace,
    Depthwise,
    Scale,
    Unary,
    Upsample,
    Window,
)
from npusim.lowering.ir.values import Value


def depth_to_space(fuser: Fuser, op: Op) -> None:
    """DepthToSpace: of an image by transfers, channels last; of other data a transpose between two views."""
    value, out = fuser.values[op.inputs[0]], fuser.fresh(op)
    if is_image(value.shape):
        image = turned(fuser, op, value) if value.plain else value
        if same_order(image, CHANNELS_LAST):
            node = DepthToSpace(op.name, op.type, (image,), replace(out, order=CHANNELS_LAST))
            fuser.emit(op, node)
            return
    block, first = int(op.attrs["block_size"]), "block" in str(op.attrs.get("mode", "blocks_first"))
    n, c, *space = fuser.graph.tensors[op.inputs[0]].shape
    rank = len(space)
    blocks = (block,) * rank
    depth = c // block**rank
    split = (n, *blocks, depth, *space) if first else (n, depth, *blocks, *space)
    kept, inner = (1 + rank, range(1, 1 + rank)) if first else (1, range(2, 2 + rank))
    order = (0, kept, *(a for s, b in zip(range(2 + rank, 2 + 2 * rank), inner, strict=True) for a in (s, b)))
    _rearranged(fuser, op, split, order)


def _padded(fuser: Fuser, op: Op, x: Value, kernel: tuple[int, ...]) -> Value:
    """An image with the edges of a transposed convolution that a window can not add, which are those of more than half
    its extent: with all of its edges, by copies."""
    edges = [k - 1 - int(p) for k, p in zip(kernel, op.attrs["pads_begin"], strict=True)]
    if all(2 * edge <= k for edge, k in zip(edges, kernel, strict=True)):
        return x
    rows, columns = edges
    (_, channels, height, width) = x.shape
    shapes = (channels, rows, width + columns), (channels, height, columns)
    fills = [Value(fuser.storage(), (1, *shape), x.bits, x.bits, constant=True) for shape in shapes]
    whole = Value(
        fuser.storage(), (1, channels, height + rows, width + columns), x.bits, x.bits, order=x.order
    )
    return fuser.add(Concat(op.name, op.type, (*fills, x), whole, axis=3)).output


def space_to_depth(fuser: Fuser, op: Op) -> None:
    """SpaceToDepth: a transpose between two views."""
    block, first = int(op.attrs["block_size"]), "block" in str(op.attrs.get("mode", "blocks_first"))
    n, c, *space = fuser.graph.tensors[op.inputs[0]].shape
    split = (n, c, *(d for s in space for d in (s // block, block)))
    outer = range(2, 2 + 2 * len(space), 2)
    inner = range(3, 3 + 2 * len(space), 2)
    order = (0, *inner, 1, *outer) if first else (0, 1, *inner, *outer)
    _rearranged(fuser, op, split, order)


def shuffle_channels(fuser: Fuser, op: Op) -> None:
    """ShuffleChannels: the channels of the groups take turns."""
    shape = fuser.graph.tensors[op.inputs[0]].shape
    axis, groups = int(op.attrs["axis"]) % len(shape), int(op.attrs["group"])
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    order = [*range(len(split))]
    order[axis : axis + 2] = [axis + 1, axis]
    _rearranged(fuser, op, split, tuple(order))


def _rearranged(fuser: Fuser, op: Op, split: tuple[int, ...], order: tuple[int, ...]) -> None:
    """The operand under another shape, transposed, under the shape of the result."""
    value = fuser.values[op.inputs[0]]
    seen = value.reshaped(split) or fuser.plain(value, op).reshaped(split)
    assert seen is not None
    turned = seen.transposed(order)
    shape = fuser.shape(op)
    fuser.values[op.outputs[0]] = turned.reshaped(shape) or replace(
        fuser.plain(turned, op), shape=shape, order=()
    )


def batch_norm(fuser: Fuser, op: Op) -> None:
    """BatchNormInference: a scale and shift per channel."""
    value = fuser.values[op.inputs[0]]
    rank = len(value.shape)
    factor = replace(fuser.values[op.inputs[1]], shape=(1, value.shape[1], *(1,) * (rank - 2)))
    out = replace(fuser.fresh(op), order=value.order)
    fuser.emit(op, Scale(op.name, op.type, (value, factor), out, axis=1))


def group_norm(fuser: Fuser, op: Op) -> None:
    """GroupNormalization: an MVN kernel over groups of channels, then a scale and shift per channel."""
    value = fuser.plain(fuser.values[op.inputs[0]], op)
    groups = int(op.attrs["num_groups"])
    n, c = value.shape[:2]
    rows = replace(value, shape=(1, n, groups, value.elements // (n * groups)))
    normal = Value(fuser.storage(), rows.shape, value.bits, value.bits)
    fuser.emit(op, Unary(op.name, op.type, (rows,), normal, kernel="mvn", axis=3))
    factor = replace(fuser.values[op.inputs[1]], shape=(1, c, *(1,) * (len(value.shape) - 2)))
    out = fuser.fresh(op)
    scaled = replace(normal, shape=value.shape)
    fuser.emit(op, Scale(op.name, op.type, (scaled, factor), out, axis=1))
    fuser.values[op.outputs[0]] = out


def backprop(fuser: Fuser, op: Op) -> None:
    """ConvolutionBackpropData and its grouped form: a convolution of stride 1 over the image with zeros between its
    pixels, which the DPU reads through a table of their addresses, or which are written so where it has none."""
    x, w = fuser.operands(op)[:2]
    grouped = op.type == "GroupConvolutionBackpropData"
    kernel = tuple(w.shape[3:] if grouped else w.shape[2:])
    grown, addressed = int(op.attrs["strides"][0]), fuser.software.storage_elements is not None
    if not addressed and is_image(x.shape):
        wide = replace(x, storage=fuser.storage(), shape=(*x.shape[:2], *(grown * n for n in x.shape[2:])))
        wide = replace(wide, stored_bits=x.bits, partial=False)
        x, grown = fuser.add(Upsample(op.name, op.type, (x,), wide)).output, 1
        x = _padded(fuser, op, x, kernel)
    out = matmul.channels_last(fuser.fresh(op), len(kernel))
    pads = tuple(k // 2 for k in kernel) * 2
    window = Window(matmul.pair(kernel), pads=pads, grown=grown, addressed=addressed)
    if grouped and w.shape[1] == 1 and w.shape[2] == 1:
        taps = replace(w, shape=(w.shape[0], 1, 1, *kernel))
        fuser.emit(op, Depthwise(op.name, op.type, (x, taps), out, window=window))
        return
    n = out.shape[1]
    taps = replace(w, shape=(n, w.elements // (n * prod(kernel)), *kernel))
    made = Conv(
        op.name, op.type, (x, taps), out, m=out.elements // n, k=x.shape[1], n=n, window=window,
        zeros=float(op.attrs.get("zeros", 0)),
    )  # fmt: skip
    fuser.emit(op, made)


def block_call(fuser: Fuser, op: Op) -> None:
    """A call of a unit beside the tiles, which reads its operands as they are."""
    operands = tuple(fuser.plain(value, op) for value in fuser.operands(op))
    what = {name: op.attrs[name] for name in ("block", "macs", "levels")}
    fuser.emit(op, BlockCall(op.name, op.type, operands, fuser.fresh(op), **what))
