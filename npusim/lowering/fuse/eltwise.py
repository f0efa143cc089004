"""Fusion of ops element by element or along an axis: kernels of their own, or post-processing of the DPU op before."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, prod

import numpy as np

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, is_outer, padded, same_order
from npusim.lowering.fuse.images import alike, norm_planes, normed_by_planes, scale_image, turned
from npusim.lowering.fuse.matmul import outer_product
from npusim.lowering.fuse.outer import (
    channels_last_product,
    freed_scale,
    heads_last_order,
    settle_layout,
    written_at_once,
)
from npusim.lowering.fuse.products import folded, summed_order
from npusim.lowering.ir.images import CHANNELS_LAST, is_image, scales_channels
from npusim.lowering.ir.kernels import KERNEL_OF, Reads
from npusim.lowering.ir.nodes import (
    Bmm,
    Broadcast,
    Conv,
    Depthwise,
    Eltwise,
    Node,
    Scale,
    Unary,
)
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value
from npusim.lowering.rewrite.patterns import Match

# -- one activation ---------------------------------------------------------------------------------------------------


def unary(fuser: Fuser, op: Op) -> None:
    """An activation function, or a kernel along an axis: applied behind the DPU op before where the PPE can. A PRelu
    with one slope is a LeakyRelu (evidence/lowering.md#1.4)."""
    source = op.inputs[0]
    value = fuser.moved(fuser.values[source], op)
    outer = op.type == "CumSum" and freed_scale(fuser, op, value)
    if outer:
        value = turned(fuser, op, value)
    one_slope = op.type == "PRelu" and fuser.values[op.inputs[1]].elements == 1
    kernel = "leakyrelu" if one_slope else KERNEL_OF[op.type].name
    node = fuser.producer(source)
    if node is not None and _fusable(fuser, replace(op, type="LeakyRelu") if one_slope else op, node):
        fuser.absorb(op, source, post=kernel)
        return
    if op.type.startswith("Reduce"):
        _reduced(fuser, op, kernel)
        return
    if op.type == "MVN" and normed_by_planes(fuser, op, value):
        norm_planes(fuser, op, kernel)
        return
    axis = _axis(fuser, op)
    if axis not in (None, 1) and KERNEL_OF[op.type].whole == "axis" and not outer:
        fuser.write_planes(source)
        value = fuser.moved(fuser.values[source], op)
    if op.type == "Softmax" and axis is not None and len(value.shape) == 4:
        value = _axis_innermost(fuser, op, value, axis)
    repeated = node.batched if isinstance(node, Eltwise) and axis is None else 0
    low = float(op.attrs["min"]) if op.type == "Clamp" and isfinite(float(op.attrs["max"])) else None
    out = replace(fuser.fresh(op), order=value.order)
    made = Unary(
        op.name, op.type, (value,), out, kernel=kernel, axis=axis, low=low, repeated=repeated, outer=outer
    )
    settle_layout(fuser, op, fuser.emit(op, made))


def _reduced(fuser: Fuser, op: Op, kernel: str) -> None:
    """A reduction that only SHAVE has, over all its axes at once."""
    value = fuser.plain(fuser.values[op.inputs[0]], op)
    axes = fuser.axes(op.inputs[1], len(value.shape))
    out = fuser.fresh(op)
    kept = replace(out, shape=tuple(1 if d in axes else s for d, s in enumerate(value.shape)))
    axis = axes[-1] if axes else None
    fuser.emit(op, Unary(op.name, op.type, (value,), kept, kernel=kernel, axis=axis))
    fuser.values[op.outputs[0]] = out


def _axis(fuser: Fuser, op: Op) -> int | None:
    """The axis that an op of one activation runs along, if any."""
    rank = len(fuser.graph.tensors[op.inputs[0]].shape)
    axis = KERNEL_OF[op.type].axis
    if axis is None or not rank:
        return None
    if axis == "attribute":
        return int(op.attrs["axis"]) % rank
    return fuser.last_axis(op.inputs[1], rank)


def _axis_innermost(fuser: Fuser, op: Op, value: Value, axis: int) -> Value:
    """A value with an axis innermost in memory, brought there in front of a kernel that works along it and is fast on
    whole lines alone."""
    order = tuple(d for d in value.order or range(len(value.shape)) if d != axis)
    if value.shape[axis] == 1 or value.memory_order[-1:] == (axis,):
        return value
    if axis == 1 and value.plain and is_image(value.shape):
        return turned(fuser, op, value)
    return fuser.move(value, (*order, axis), op)


def _fusable(fuser: Fuser, op: Op, node: Node) -> bool:
    """Whether the PPE applies this activation behind this node: one, or a Clamp behind what is linear on both sides of
    zero."""
    if not isinstance(node, Conv | Depthwise | Scale | Bmm | Eltwise):
        return False
    if node.post and not (op.type == "Clamp" and node.post in ("relu", "leakyrelu")):
        return False
    if isinstance(node, Eltwise) and node.type != "Add" and not node.scaled:
        return False
    if "pwl" in op.attrs:
        return bool(op.attrs["lut"])
    if op.type == "Clamp" and float(op.attrs["min"]) != 0.0:
        return "ClampAny" in fuser.software.fused_activations
    return op.type in fuser.software.fused_activations


def group(fuser: Fuser, match: Match) -> Node:
    """A group of ops that one kernel with the name of the pattern runs (rms, swish), or the PPE behind what makes its
    operand."""
    source = match.inputs[0]
    node = fuser.made.get(fuser.values[source].storage)
    whole = node is not None and not fuser.values[source].partial and source not in fuser.graph.outputs
    alone = whole and all(reader in match.covered for reader in fuser.readers[source])
    swish = replace(match.root, type="Swish")
    if match.kind == "swish" and node is not None and alone and _fusable(fuser, swish, node):
        return fuser.apply_behind(node, match.root, source, post=match.kind)
    values = tuple(fuser.values[i] for i in match.inputs)
    op, out = match.root, replace(fuser.fresh(match.root), order=values[0].order)
    return fuser.emit(op, Unary(op.name, op.type, values, out, kernel=match.kind))


# -- several activations ----------------------------------------------------------------------------------------------


def eltwise(fuser: Fuser, op: Op) -> None:
    """Arithmetic, comparison or logic of operands that broadcast; all are moved to the memory order of a full one."""
    if scales_channels(fuser.graph, op):
        scale_image(fuser, op)
        return
    inputs = alike(fuser, op)
    shape = fuser.shape(op)
    kernel = KERNEL_OF[op.type]
    if kernel.constant and _with_constant(fuser, op, shape):
        return
    exponent = fuser.index.scalar(op.inputs[1]) if op.type == "Power" else None
    if exponent in (2.0, 3.0):
        out = replace(fuser.fresh(op), order=inputs[0].order)
        fuser.emit(op, Eltwise(op.name, op.type, (inputs[0], inputs[0]), out, kernel="square"))
        return
    if outer_product(fuser, op):
        return
    inputs = [padded(v, len(shape)) for v in inputs]
    channels = _channels_innermost(fuser, op, inputs, shape)
    outer = op.type == "Multiply" and channels_last_product(channels, shape)
    scaled, inputs = channels != inputs and not outer, channels
    summed, kept = summed_order(fuser, op, inputs), 0
    order = CHANNELS_LAST if outer else summed or _common_order(fuser, inputs, shape)
    if scaled and written_at_once(fuser, op, inputs, shape):
        order = ()
    if op.type == "RoPE":  # which sees head after head, however they lie
        order, kept = (), 1
    inputs = [v if v.constant or i < kept else fuser.ordered(v, order, op) for i, v in enumerate(inputs)]
    out = replace(fuser.fresh(op), order=order)
    if not (outer or scaled) and order == summed and all(v.elements < out.elements for v in inputs):
        inputs, out = folded(fuser, op, inputs, out)
    node = Eltwise(op.name, op.type, tuple(inputs), out, kernel=kernel.name, outer=outer, scaled=scaled)
    settle_layout(fuser, op, fuser.emit(op, node))


def select(fuser: Fuser, op: Op) -> None:
    """Select: a Multiply-like kernel of two operands where a constant mask clears a broadcast value, else a
    kernel of three. A mask that is computed is converted to FP16 first (evidence/lowering.md#1.2.33)."""
    shape = fuser.shape(op)
    mask, first, second = (padded(v, len(shape)) for v in fuser.operands(op))
    size = prod(shape)
    if (
        mask.constant
        and fuser.index.scalar(op.inputs[1]) == 0.0
        and not second.constant
        and second.elements < size
    ):
        order = heads_last_order(fuser, second, mask, shape)
        second = second if order else fuser.plain(second, op)
        out = replace(fuser.fresh(op), order=order)
        node = Eltwise(op.name, op.type, (second, mask), out, kernel="select_2in", outer=bool(order))
        fuser.emit(op, node)
        return
    order = _full_operand_order([first, second, mask], shape)
    mask, first, second = (v if v.constant else fuser.ordered(v, order, op) for v in (mask, first, second))
    if not mask.constant and mask.bits == 8:
        wide = Value(fuser.storage(), mask.shape, order=mask.order)
        fuser.add(Unary(f"{op.name}/mask", "Convert", (mask,), wide, kernel="convert"))
        mask = wide
    batch = shape[-4] if len(shape) > 4 and prod(shape[-4:]) == size else 1
    served = mask.constant and batch > 1 and prod(mask.shape[:-2]) == 1 and not order
    out = replace(fuser.fresh(op), order=order)
    batched = batch if served else 0
    fuser.emit(op, Eltwise(op.name, op.type, (mask, first, second), out, kernel="select", batched=batched))


def _full_operand_order(operands: list[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The memory order of the first activation that is not broadcast, which the result takes over, or of a constant."""
    full = [v for v in operands if v.elements == prod(shape)]
    return next((v.order for v in sorted(full, key=lambda v: v.constant)), ())


def _common_order(fuser: Fuser, inputs: list[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
    """``_full_operand_order``, but row-major where a part of a product that stayed channels-last meets what is
    row-major (Mul_6 of Mamba: the part of Exp_1 is reordered, not the state), where what a transpose of chunks has
    to be moved for anyway is (Mul_5 of Mamba-2 with 2 and 4 chunks), and where an image meets what is broadcast over
    its rows or columns and has them innermost."""
    full = [v for v in inputs if v.elements == prod(shape) and not v.constant]
    late = any(is_outer(fuser.made.get(v.storage)) or _is_scaled(fuser, v) for v in full)
    chunked = any(len(v.memory_order) > 3 for v in full)
    order = _full_operand_order(inputs, shape)
    if order == CHANNELS_LAST and not all(v.constant or same_order(v, order) for v in inputs):
        return ()
    return () if (late or chunked) and any(v.plain for v in full) else order


def _is_scaled(fuser: Fuser, value: Value) -> bool:
    """Whether a product by a computed column, which lies channels innermost, is what a value is made of by kernels of
    any order."""
    maker = fuser.made.get(value.storage)
    while isinstance(maker, Unary) and maker.axis is None:
        maker = fuser.made.get(maker.inputs[0].storage)
    return isinstance(maker, Eltwise) and maker.scaled


def _channels_innermost(fuser: Fuser, op: Op, inputs: list[Value], shape: tuple[int, ...]) -> list[Value]:
    """The operands of a product with a computed [1, C, 1] or [1, C, 1, 1]: the other one gets its channels innermost
    where that costs nothing, so that the product can be a depth-wise convolution as it is. Constants are reordered when
    the model is compiled, an outer product is written so (Mul_2, Mul_3 and Mul_4 of Mamba's single token)."""
    small = [v for v in inputs if v.elements < prod(shape)]
    if (
        op.type != "Multiply"
        or len(small) != 1
        or small[0].constant
        or len(shape) not in (3, 4)
        or shape[0] != 1
    ):
        return inputs
    if small[0].elements != shape[1] != 1 or small[0].shape[1] != shape[1]:
        return inputs
    return [v if v is small[0] else _turned(fuser, op, v) for v in inputs]


def _turned(fuser: Fuser, op: Op, value: Value) -> Value:
    rank = len(value.shape)
    order = (0, *range(2, rank), 1)
    if value.constant:
        return replace(value, order=order)
    return fuser.written(value, order, op) or value


# -- an activation and a constant -------------------------------------------------------------------------------------


def broadcasts(op: Op) -> bool:
    """Whether an op reads several operands that broadcast."""
    kernel = KERNEL_OF.get(op.type)
    return kernel is not None and kernel.reads is Reads.BROADCAST


def by_scalar(fuser: Fuser, op: Op) -> bool:
    """Arithmetic with one number."""
    if not KERNEL_OF[op.type].constant:
        return False
    split = fuser.index.split_constant(op)
    return split is not None and fuser.values[split[1]].elements == 1


def _with_constant(fuser: Fuser, op: Op, shape: tuple[int, ...]) -> bool:
    """Bias and scale by a constant: nothing where all of it is one (D of Mamba-2 as it is initialised: no trace has a
    task for it), fused behind a DPU op, or a depth-wise 1x1 convolution of its own. A sum over the innermost dimension
    of several rows, or over one that can't be channels, adds the constant at full size (Add of Mamba-2, 24 heads, every
    trace)."""
    split = fuser.index.split_constant(op)
    if split is None or fuser.values[split[0]].elements != prod(shape):
        return False
    source, constant = split
    value, factor = (padded(fuser.values[i], len(shape)) for i in split)
    if op.type == "Divide" and constant == op.inputs[0]:
        return False
    additive = KERNEL_OF[op.type].constant == "bias"
    number = fuser.graph.tensors[split[1]].value
    if not additive and number is not None and np.all(np.asarray(number) == 1):
        fuser.values[op.outputs[0]] = fuser.values[source]
        return True
    node = fuser.producer(source)
    varying = [d for d, s in enumerate(factor.shape) if s > 1]
    if isinstance(node, Broadcast) and not varying:
        _before_broadcast(fuser, op, node, factor)
        return True
    if isinstance(node, Conv | Depthwise | Bmm) and not node.post and not op.attrs.get("apart"):
        bias = additive and tuple(varying) in ((), value.memory_order[-1:])
        if (bias and not node.bias) or (not additive and not varying):
            return fuser.absorb(op, source, bias=node.bias or bias)
    if node is not None and additive and _is_shift_of(node, varying):
        return fuser.absorb(op, source, bias=True)
    out = replace(fuser.fresh(op), order=value.order)
    rows = value.elements > factor.elements
    innermost = tuple(varying) == value.memory_order[-1:] and value.plain
    if additive and innermost and (rows or factor.elements % CHANNELS):
        full = replace(factor, shape=value.shape, order=value.order)
        fuser.emit(op, Eltwise(op.name, op.type, (value, full), out, kernel="add"))
    elif len(varying) <= 1:
        axis = varying[0] if varying else None
        free = bool(op.attrs.get("any_order"))
        scale = Scale(op.name, op.type, (value, factor), out, axis=axis, additive=additive, any_order=free)
        fuser.emit(op, scale)
    else:
        kernel = "add" if additive else "multiply"
        made = fuser.emit(op, Eltwise(op.name, op.type, (value, factor), out, kernel=kernel))
        settle_layout(fuser, op, made)
    return True


def _is_shift_of(node: Node, varying: list[int]) -> bool:
    """Whether a sum with a constant is the shift of the scale before it, one DPU op to the compiler (batch norms behind
    a Concat, HSwish by parts)."""
    if not isinstance(node, Scale) or node.post or node.additive or node.bias:
        return False
    return not varying or varying == [node.axis]


def _before_broadcast(fuser: Fuser, op: Op, node: Node, factor: Value) -> None:
    """Arithmetic with one number behind a Broadcast is done before it, on the small value."""
    value = node.inputs[0]
    small = Value(fuser.storage(), value.shape, value.bits, value.bits, order=value.order)
    del fuser.made[node.output.storage]
    additive = KERNEL_OF[op.type].constant == "bias"
    fuser.add(Scale(op.name, op.type, (value, factor), small, axis=None, additive=additive))
    fuser.values[op.outputs[0]] = fuser.amend(node, inputs=(small,)).output
