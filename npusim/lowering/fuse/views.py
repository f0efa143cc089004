"""Fusion of ops that compute nothing: views that cost nothing, and data written side by side or repeated."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse.eltwise import broadcasts, by_scalar
from npusim.lowering.fuse.fuser import Fuser, padded
from npusim.lowering.fuse.images import alike
from npusim.lowering.ir.images import slides
from npusim.lowering.ir.nodes import Broadcast, Concat, Convert, Copy, Gather
from npusim.lowering.ir.values import Value

# -- views ------------------------------------------------------------------------------------------------------------


def view(fuser: Fuser, op: Op) -> None:
    """The same elements under another shape."""
    value = fuser.values[op.inputs[0]]
    shape = fuser.shape(op)
    seen = value.reshaped(shape)
    if seen is None:
        seen = fuser.plain(value, op).reshaped(shape)
    assert seen is not None
    fuser.values[op.outputs[0]] = seen


def transpose(fuser: Fuser, op: Op) -> None:
    """Transpose: only the order of dimensions changes, until somebody needs the data moved, or at once."""
    value = fuser.values[op.inputs[0]]
    perm = tuple(int(p) for p in fuser.constant(op.inputs[1]).reshape(-1)) if len(op.inputs) > 1 else ()
    turned = value.transposed(perm or tuple(reversed(range(len(value.shape)))))
    fuser.values[op.outputs[0]] = fuser.plain(turned, op) if op.attrs.get("at_once") else turned


def slice(fuser: Fuser, op: Op) -> None:
    """Slice: a part of its operand's storage."""
    fuser.values[op.outputs[0]] = _part(fuser, op, fuser.shape(op))


def split(fuser: Fuser, op: Op) -> None:
    """Split: each output a part of the operand's storage."""
    for id in op.outputs:
        fuser.values[id] = _part(fuser, op, fuser.graph.tensors[id].shape)


def split_batch(fuser: Fuser, op: Op) -> None:
    """Each image of a batch copied to a storage of its own: one copy after the other, or all at once behind what makes
    the type of the input that of the model (three forms of input on 4000)."""
    value = fuser.values[op.inputs[0]]
    converted = value.stored_bits != value.bits
    if converted:
        fuser.region = "images"
        narrow = replace(value, storage=fuser.storage(), stored_bits=value.bits)
        value = fuser.add(Convert(op.name, op.type, (value,), narrow)).output
    for number, id in enumerate(op.outputs):
        fuser.region = "images" if converted else f"copy {number}"
        image = replace(value, shape=fuser.graph.tensors[id].shape, partial=True)
        out = replace(image, storage=fuser.storage(), partial=False)
        fuser.values[id] = fuser.add(Copy(op.name, op.type, (image,), out)).output


def join_batch(fuser: Fuser, op: Op) -> None:
    """The results of all images side by side, each written row-major by what makes it where that can."""
    for id in op.inputs:
        fuser.write_planes(id)
    images = tuple(fuser.plain(value, op) for value in fuser.operands(op))
    fuser.emit(op, Concat(op.name, op.type, images, fuser.fresh(op), axis=0))


def strided_slice(fuser: Fuser, op: Op) -> None:
    """StridedSlice: a part, or a view where it drops or adds unit dimensions only."""
    shape = fuser.shape(op)
    if prod(shape) == fuser.values[op.inputs[0]].elements:
        view(fuser, op)
        return
    fuser.values[op.outputs[0]] = _part(fuser, op, shape)


def _part(fuser: Fuser, op: Op, shape: tuple[int, ...]) -> Value:
    """A part of an op's first operand."""
    value = fuser.values[op.inputs[0]]
    if shape == value.shape:
        return value
    if len(shape) != len(value.shape):
        return replace(fuser.plain(value, op), shape=shape, order=(), partial=True)
    return replace(value, shape=shape, partial=True)


# -- data movement ----------------------------------------------------------------------------------------------------


def gather(fuser: Fuser, op: Op) -> None:
    """Gather: a part where one constant index picks from an activation, else rows picked by a kernel."""
    data, indices, axis_id = op.inputs[:3]
    value = fuser.values[data]
    index = fuser.graph.tensors[indices]
    axis = int(fuser.constant(axis_id).reshape(-1)[0]) % len(value.shape)
    if index.constant and index.elements == 1 and not value.constant:
        shape = fuser.shape(op)
        reduced = tuple(1 if d == axis else s for d, s in enumerate(value.shape))
        part = replace(value, shape=reduced, partial=reduced != value.shape)
        fuser.values[op.outputs[0]] = part.reshaped(shape) or replace(part, shape=shape, order=())
        return
    operands = (fuser.plain(value, op), fuser.values[indices])
    fuser.emit(op, Gather(op.name, op.type, operands, fuser.fresh(op), axis=axis))


def concat(fuser: Fuser, op: Op) -> None:
    """Concat: row-major pieces side by side; images that all lie alike (channels last) stay so."""
    parts = alike(fuser, op)
    axis = int(op.attrs["axis"]) % len(parts[0].shape)
    orders = {value.memory_order for value in parts}
    if len(orders) == 1 and len(parts[0].shape) == 4 and not parts[0].plain:
        out = replace(fuser.fresh(op), order=parts[0].order)
        fuser.emit(op, Concat(op.name, op.type, tuple(parts), out, axis=axis))
        return
    plain = tuple(fuser.plain(value, op) for value in parts)
    fuser.emit(op, Concat(op.name, op.type, plain, fuser.fresh(op), axis=axis))


def pad(fuser: Fuser, op: Op) -> None:
    """Pad: the operand beside a constant that fills the rest, row-major; one that only convolutions and poolings read
    stays as it lies."""
    value = fuser.values[op.inputs[0]]
    if fuser.shape(op) == value.shape:
        view(fuser, op)
        return
    readers = fuser.readers.get(op.outputs[0], [])
    if not (readers and all(slides(fuser.graph, reader) for reader in readers)):
        value = fuser.plain(value, op)
    out = replace(fuser.fresh(op), order=value.order, bits=value.bits, stored_bits=value.bits)
    rest = (out.elements - value.elements,)
    filler = Value(fuser.storage(), rest, value.bits, value.bits, constant=True)
    fuser.emit(op, Concat(op.name, op.type, (value, filler), out, axis=0))


def broadcast(fuser: Fuser, op: Op) -> None:
    """Broadcast and Tile: repeated data, left to the readers of a Broadcast where all of them broadcast themselves."""
    value = fuser.values[op.inputs[0]]
    shape = fuser.shape(op)
    if prod(shape) == value.elements:
        view(fuser, op)
        return
    readers = fuser.readers.get(op.outputs[0], ()) if op.type == "Broadcast" else ()
    if readers and all(broadcasts(o) and not by_scalar(fuser, o) for o in readers):
        fuser.values[op.outputs[0]] = padded(value, len(shape))
        return
    fuser.emit(op, Broadcast(op.name, op.type, (fuser.plain(value, op),), fuser.fresh(op)))
