"""Products that stay channels-last: where a convolution's result is multiplied by what broadcasts it (dt * A and
dt * x * B of Mamba, [1, C, T, N]), the compiler lets the product lie as the convolution wrote it, C innermost, and
changes the layout as late as it can: behind kernels that do not care and behind Slices, on the DPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, is_outer
from npusim.lowering.ir.images import is_image
from npusim.lowering.ir.kernels import KERNEL_OF
from npusim.lowering.ir.nodes import Concat, Kernel, Scale
from npusim.lowering.ir.optypes import RESHAPES
from npusim.lowering.ir.values import Value

#: Ops that pass a part or another shape of their operand on.
_VIEWS = RESHAPES | {"Gather", "Slice", "Split", "StridedSlice", "VariadicSplit"}


def channels_last_product(inputs: list[Value], shape: tuple[int, ...]) -> bool:
    """Whether a product of [1, C, H, W] has no full activation, and a broadcast one that lies channels-last (Mul_2 and
    Mul_3 of every Mamba prefill on all platforms)."""
    if len(shape) != 4 or shape[0] != 1 or any(v.elements == prod(shape) for v in inputs):
        return False
    active = [v for v in inputs if not v.constant]
    return any(len(v.memory_order) > 1 and v.memory_order[-1] == 1 for v in active)


def freed_scale(fuser: Fuser, op: Op, value: Value) -> bool:
    """Whether a running sum works channels last: behind a scale, which the compiler takes for a depth-wise convolution
    at first, and whose order it lets pass on from op to op, but not to one that makes a result of the model, before
    which that convolution writes planes (npu_compiler, optimize_reorders.cpp). It later finds that the scale itself
    takes any order, which is noted of it here."""
    maker = fuser.made.get(value.storage)
    if not isinstance(maker, Scale) or maker.axis is not None or not value.plain or value.partial:
        return False
    if not is_image(value.shape) or op.outputs[0] in fuser.graph.outputs:
        return False
    fuser.amend(maker, any_order=True)
    return True


def heads_last_order(fuser: Fuser, small: Value, mask: Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The memory order of what a mask [T, T] makes of [heads, T] whose heads lie innermost: they stay there (Where_1 of
    Mamba-2 with one whole chunk: t256 on all platforms, t64_c64, base and CumBA). A padded sequence is moved before."""
    maker = fuser.made.get(small.storage)
    if len(small.memory_order) != 2 or maker is None or isinstance(maker, Concat):
        return ()
    heads = small.memory_order[-1]
    if small.memory_order[0] < heads or prod(mask.shape) != shape[-2] * shape[-1]:
        return ()
    return (*(d for d in range(len(shape)) if d != heads), heads)


def settle_layout(fuser: Fuser, op: Op, node: Kernel) -> None:
    """Mark a node that works on such a product, and change the layout of its result once for all readers unless one of
    them can do without (Mul_4, Mul_5); of Exp_1 every Slice is reordered by itself, since Mul_5 takes its own as it
    is."""
    made = [fuser.made.get(value.storage) for value in node.inputs]
    if node.output.plain or not any(map(is_outer, (node, *made))):
        return
    node = fuser.amend(node, outer=True)
    if not _carried_on(fuser, op.outputs[0]):
        fuser.values[op.outputs[0]] = replace(fuser.plain(node.output, op), order=())


def written_at_once(fuser: Fuser, op: Op, inputs: list[Value], shape: tuple[int, ...]) -> bool:
    """Whether a product of a constant and a computed column, which lies channels innermost, is written row-major by the
    DPU itself: where no reader runs in that order, which would be changed behind it then (B x of a recurrence, which is
    added to its state)."""
    computed = any(v.elements == prod(shape) and not v.constant for v in inputs)
    result, readers = op.outputs[0], fuser.readers.get(op.outputs[0], ())
    if len(readers) == 1 and readers[0].type in fuser.software.fused_activations:
        result = readers[0].outputs[0]  # the DPU writes what it makes of the product
    return not computed and not _carried_on(fuser, result)


def _carried_on(fuser: Fuser, tensor: int) -> bool:
    """Whether a reader of a tensor runs in its layout: a kernel of one operand, or a product with a constant or with
    what is broadcast."""
    for reader, source in _readers(fuser, tensor):
        kernel = KERNEL_OF.get(reader.type)
        if kernel is not None and kernel.any_layout:
            return True
        size = fuser.graph.tensors[reader.outputs[0]].elements
        others = [fuser.graph.tensors[i] for i in reader.inputs if i != source]
        if reader.type == "Multiply" and all(t.constant or t.elements < size for t in others):
            return True
    return False


def _readers(fuser: Fuser, tensor: int) -> Iterator[tuple[Op, int]]:
    """Ops that read a tensor, or a view of it, each with what it reads."""
    for op in fuser.readers.get(tensor, ()):
        if op.type in _VIEWS:
            for output in op.outputs:
                yield from _readers(fuser, output)
        else:
            yield op, tensor
