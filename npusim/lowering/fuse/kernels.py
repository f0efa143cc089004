"""Fusion of ops that run as a SHAVE kernel of their own name."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import BITS, Op
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.kernels import KERNEL_OF, KERNELS
from npusim.lowering.ir.nodes import Further, Unary
from npusim.lowering.ir.values import INDEX_BITS, Value, ceil_div


def kernel(fuser: Fuser, op: Op, name: str = "") -> None:
    """A SHAVE kernel, that of the op or another, that reads its operands as they are, along the axis that the op or the
    last of them may name; one call writes all outputs that are read, integers as those of 32 bits."""
    row = KERNELS[name] if name else KERNEL_OF[op.type]
    read = [
        k for k, id in enumerate(op.inputs) if k in row.loaded or (k not in row.compiled and _data(fuser, id))
    ] or [0]  # constants alone, where what is computed is compiled in (how many a TopK picks)
    operands = fuser.operands(op)
    inputs = tuple(_numbers(operands[k]) if k in row.loaded else fuser.plain(operands[k], op) for k in read)
    rank = len(fuser.graph.tensors[op.inputs[0]].shape)
    named = int(op.attrs["axis"]) % rank if row.axis == "attribute" else None
    axis = fuser.last_axis(op.inputs[-1], rank) if row.axis == "operand" else named
    made, *further = [
        _written(fuser, id) for id in op.outputs if fuser.index.readers[id] or id in fuser.graph.outputs
    ]
    beside = ceil_div(sum(value.elements * value.bits for value in further), made.elements)
    fuser.add(Unary(op.name, op.type, inputs, made, kernel=row.name, axis=axis, beside=beside))
    for value in further:
        fuser.add(Further(op.name, op.type, (), value))


def _numbers(value: Value) -> Value:
    """A few integers as a kernel reads them."""
    return replace(value, bits=INDEX_BITS, stored_bits=INDEX_BITS)


def _written(fuser: Fuser, id: int) -> Value:
    """What a kernel writes for an output of its op."""
    tensor = fuser.graph.tensors[id]
    bits = min(BITS[tensor.dtype], INDEX_BITS)
    fuser.values[id] = Value(fuser.storage(), tensor.shape, bits, bits)
    return fuser.values[id]


def detection_output(fuser: Fuser, op: Op) -> None:
    """DetectionOutput: the scores of every class are sorted, then the best boxes are picked (npu_compiler: the op
    becomes a chain of kernels, of which detection_output_sort works on the scores and may be split over tiles and
    SHAVEs by classes, which lie outermost for it)."""
    boxes, scores = (fuser.plain(v, op) for v in fuser.operands(op)[:2])
    batch, made = boxes.shape[0], fuser.fresh(op)
    shared = bool(op.attrs.get("share_location", True))
    classes = scores.elements // (boxes.elements // 4) if shared else int(op.attrs["num_classes"])
    priors = scores.elements // (batch * classes)
    by_class = replace(scores, shape=(batch, priors, classes)).transposed((0, 2, 1))
    rows = replace(fuser.plain(by_class, op), shape=(1, 1, batch * classes, priors), order=())
    ranked = Value(fuser.storage(), rows.shape, rows.bits, rows.bits)
    fuser.emit(op, Unary(op.name, op.type, (rows,), ranked, kernel="detectionoutput", axis=3))
    kept = min(priors, made.shape[2])
    best = replace(ranked, shape=(1, 1, batch * classes, kept), partial=kept < priors)
    fuser.emit(op, Unary(op.name, op.type, (best, boxes), made, kernel="detectionoutput"))
    fuser.values[op.outputs[0]] = made


def _data(fuser: Fuser, id: int) -> bool:
    """Whether an operand is more than a number or a list of axes that the kernel is compiled with."""
    tensor = fuser.graph.tensors[id]
    return not tensor.constant or tensor.elements > len(tensor.shape) * 8
