"""Results whose interface is wider than what is executed: FP32 is written by the DPU op that makes it, or converted by
a SHAVE kernel of its own, as integers of 64 bits are (evidence/lowering.md#1.6)."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import BITS
from npusim.hardware.schema import Software
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.images import is_image
from npusim.lowering.ir.nodes import Bmm, Conv, Depthwise, Eltwise, Node, Pool, Reduce, Scale, Unary
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value

#: Types of integers that no kernel writes: they are converted where the model returns them.
LONG = ("i64", "u64")
#: Activations that leave the sum of products a float of full width until it is written.
_LINEAR_IN_PIECES = ("", "relu", "leakyrelu")


def result(fuser: Fuser, id: int, value: Value) -> Value:
    """What a result is handed out as: ``value``, or its FP32 or 64-bit form where the model's interface has that."""
    tensor = fuser.graph.tensors[id]
    if tensor.dtype in LONG and value.bits < BITS[tensor.dtype]:
        bits = BITS[tensor.dtype]
        long = Value(fuser.storage(), value.shape, bits=bits, stored_bits=bits)
        return fuser.add(Unary(tensor.name, "Result", (value,), long, kernel="convert")).output
    if BITS[tensor.stored_dtype] != 32 or value.bits != 16 or tensor.dtype != "f16":
        return value
    node = fuser.producer(id)
    alone = node is not None and node.output.storage == value.storage and _only_returned(fuser, id)
    if node is not None and alone and not value.partial and _writes_wide(node, value, fuser.software):
        fuser.amend(node, output=replace(node.output, bits=32, stored_bits=32))
        fuser.values[id] = replace(value, bits=32, stored_bits=32)
        return fuser.values[id]
    wide = Value(fuser.storage(), value.shape, bits=32, stored_bits=32)
    return fuser.add(Unary(tensor.name, "Result", (value,), wide, kernel="convert")).output


def _only_returned(fuser: Fuser, id: int) -> bool:
    """Whether nothing but this result reads what its node makes, under whatever shape."""
    storage = fuser.values[id].storage
    views = [other for other, value in fuser.values.items() if value.storage == storage]
    readers = [op for view in views for op in fuser.readers.get(view, ())]
    returned = [view for view in views if view in fuser.graph.outputs]
    inside = all(fuser.values[out].storage == storage for op in readers for out in op.outputs)
    return inside and returned == [id]


def _writes_wide(node: Node, value: Value, software: Software) -> bool:
    """Whether the DPU writes the result as FP32. Where the model sees it in other dimensions than the DPU makes it in,
    the conversion stands behind that view, and is brought before it only if there is much to convert."""
    if not _can_write_wide(node, software) or _of_one_line(node):
        return False
    if node.output == value and _made_as_seen(node):
        return True
    least = software.wide_viewed_elements
    return least is not None and value.elements > least


def _can_write_wide(node: Node, software: Software) -> bool:
    """Whether the op that makes it is one of the DPU, with nothing behind its sums that needs them narrow."""
    if node.post not in _LINEAR_IN_PIECES and not software.wide_activations:
        return False
    if isinstance(node, Pool):
        return not node.largest or software.wide_activations
    if isinstance(node, Bmm):
        return node.on == "dpu" and software.grouped_matmul
    if isinstance(node, Eltwise):
        same = all(value.elements == node.output.elements for value in node.inputs)
        return node.runs("add", "subtract") and same
    means = isinstance(node, Reduce) and node.by == "mean"
    return means or isinstance(node, Conv | Depthwise | Scale) or node.runs("negative")


def _of_one_line(node: Node) -> bool:
    """Whether it is a sum of two vectors, or a scaled vector or number, for which an image has to be made up."""
    shape = node.output.shape
    if isinstance(node, Scale):
        return prod(shape[:-1]) == 1
    return isinstance(node, Eltwise) and len(shape) == 2 and shape[0] == 1


def _made_as_seen(node: Node) -> bool:
    """Whether the DPU makes the result in the dimensions that the model gives it: an image as an image; a matrix as one
    where nothing is done by channels."""
    shape = node.output.shape
    if isinstance(node, Conv):
        return node.window is not None and is_image((1, *shape[1:]))
    if isinstance(node, Reduce):
        return is_image(shape) and node.axes == (2, 3)
    if isinstance(node, Scale) and node.axis is not None:
        return is_image(shape) and node.axis == 1
    by_channels = len(shape) == 3 and shape[1] % CHANNELS == 0
    if isinstance(node, Scale):
        return node.additive or not by_channels
    return not (node.runs("subtract", "negative") and by_channels)
