"""Fusion of changes of element type: by a kernel or a copy of their own, or as the DPU op before writes its result."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.fuse.images import turned
from npusim.lowering.ir.images import CHANNELS_LAST, is_image
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.nodes import Bmm, Conv, Convert, Depthwise, Kernel, Node, Pool, Scale, Unary
from npusim.lowering.ir.values import Value

#: Channels that an image of fewer gets where it is quantised and brought to channels last (3 to 4).
QUANTISED_CHANNELS = 4


def convert(fuser: Fuser, op: Op) -> None:
    """A change of type: free between floating types inside the model (it is part of a load or store), a copy where
    an input becomes an output, a SHAVE kernel between others (evidence/lowering.md#1.2.32, #1.4)."""
    value = fuser.values[op.inputs[0]]
    out = replace(fuser.fresh(op), order=value.order)
    if value.bits != out.bits:
        fuser.emit(op, Unary(op.name, op.type, (value,), out, kernel="convert"))
    elif (
        value.stored_bits != value.bits
        and fuser.index.readers[op.outputs[0]]
        and op.outputs[0] in fuser.graph.outputs
    ):
        fuser.emit(op, Convert(op.name, op.type, (value,), out))
    else:
        fuser.values[op.outputs[0]] = value


def convert_both(fuser: Fuser, op: Op) -> None:
    """Two values brought to one type."""
    for source, made in zip(op.inputs, op.outputs, strict=True):
        convert(fuser, replace(op, inputs=(source,), outputs=(made,)))


def fake_quantize(fuser: Fuser, op: Op) -> None:
    """FakeQuantize, or FakeConvert to an 8-bit float: the DPU op before writes 8 bits, or a DPU pass of its own does
    (SHAVE kernels work on floats: C26 fuse_quantized_ops.cpp), which also brings an image to channels last. A
    result of the model stays as it is."""
    fp8 = op.type == "FakeConvert"
    source = op.inputs[0]
    value = fuser.values[source]
    if not fuser.readers.get(op.outputs[0]):
        fuser.values[op.outputs[0]] = value
        return
    node = fuser.producer(source)
    turned = fuser.each and isinstance(node, Unary) and not value.plain
    if node is not None and _writes_8_bits(node) and not turned:
        output = replace(value, bits=8, stored_bits=8, fp8=fp8)
        fuser.values[op.outputs[0]] = fuser.amend(node, fused=(*node.fused, op.name), output=output).output
        return
    batch, *rest = value.shape or (1,)
    readers = fuser.readers.get(op.outputs[0], [])
    image = len(rest) == 3 and batch == 1 and value.plain and rest[0] <= QUANTISED_CHANNELS
    if image and readers and all(r.type == "Convolution" for r in readers):
        out = replace(fuser.fresh(op), bits=8, stored_bits=8, fp8=fp8)
        out = replace(out, shape=(batch, QUANTISED_CHANNELS, *rest[1:]), order=CHANNELS_LAST)
    else:
        value = _read(fuser, op)
        out = replace(fuser.fresh(op), bits=8, stored_bits=8, order=value.order, fp8=fp8)
    fuser.emit(op, Convert(op.name, op.type, (value,), out, quantize=True))


def _writes_8_bits(node: Node) -> bool:
    """Whether a node runs on the DPU, whose results leave it in any type."""
    if isinstance(node, Kernel):
        return KERNELS[node.kernel].on_dpu
    return isinstance(node, Conv | Depthwise | Scale | Bmm | Pool)


def _read(fuser: Fuser, op: Op) -> Value:
    """The value that a FakeQuantize reads: an image channels last already where its result is read so; those of which
    each tile works on one as planes, to which a pass of its own turns them."""
    value = fuser.values[op.inputs[0]]
    if fuser.each and len(value.shape) == 4:
        return fuser.plain(value, op)
    image = is_image(value.shape) and not value.constant and value.plain
    return turned(fuser, op, value) if image and fuser.channels_last[op.outputs[0]] else value
