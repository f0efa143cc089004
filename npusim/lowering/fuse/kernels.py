"""Fusion of ops that run as a SHAVE kernel of their own name."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import BITS, Op
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.kernels import KERNEL_OF, KERNELS
from npusim.lowering.ir.nodes import Unary
from npusim.lowering.ir.values import Value


def kernel(fuser: Fuser, op: Op, name: str = "") -> None:
    """A SHAVE kernel, that of the op or another, that reads its operands as they are, along the axis that the last of
    them may name; a further output that is read is written by one more call."""
    inputs = tuple(
        fuser.plain(v, op) for i, v in zip(op.inputs, fuser.operands(op), strict=True) if _data(fuser, i)
    )
    row = KERNELS[name] if name else KERNEL_OF[op.type]
    rank = len(fuser.graph.tensors[op.inputs[0]].shape)
    axis = fuser.last_axis(op.inputs[-1], rank) if row.axis == "operand" else None
    for output in op.outputs:
        if fuser.index.readers[output] or output in fuser.graph.outputs:
            tensor = fuser.graph.tensors[output]
            bits = BITS[tensor.dtype]
            made = Value(fuser.storage(), tensor.shape, bits, bits)
            fuser.emit(op, Unary(op.name, op.type, inputs, made, kernel=row.name, axis=axis))
            fuser.values[output] = made


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
