"""Images that several ops read: in one order for all of them, which ``ir.images`` says."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, same_order
from npusim.lowering.ir.images import CHANNELS_LAST, JOINING, is_image
from npusim.lowering.ir.nodes import ChannelsLast, Eltwise, Unary
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value


def read_image(fuser: Fuser, op: Op) -> Value:
    """The image that a convolution or pooling reads; channels last already where another reader takes it so too, since
    one change of layout serves both; as do images of which each tile works on one, turned together."""
    id = op.inputs[0]
    value = fuser.values[id]
    if fuser.each and _is_batch(value) and value.plain and value.shape[1] % CHANNELS == 0:
        return fuser.move(value, CHANNELS_LAST, op)
    shared = fuser.channels_last[id] > 1 and is_image(value.shape) and value.plain
    return turned(fuser, op, value) if shared else value


def scale_image(fuser: Fuser, op: Op) -> None:
    """An image whose channels are multiplied by computed numbers: it is read as it lies, and written channels last for
    readers that take it so."""
    order = CHANNELS_LAST if fuser.channels_last[op.outputs[0]] else ()
    out = replace(fuser.fresh(op), order=order)
    node = Eltwise(op.name, op.type, tuple(fuser.operands(op)), out, kernel="multiply", scaled=True)
    fuser.emit(op, node)


def alike(fuser: Fuser, op: Op) -> list[Value]:
    """The operands of an op. Images that a sum or join reads lie alike: channels last for its own readers, else as
    planes, which what makes them writes where it can; those of a batch are always added as planes."""
    values = fuser.operands(op)
    if op.type == "Add" and all(_is_batch(v) for v in values):
        return [_as_planes(fuser, op, k) for k in range(len(values))]
    images = [k for k, v in enumerate(values) if is_image(v.shape) and not v.constant]
    if op.type not in JOINING or len({values[k].plain for k in images}) < 2:
        return values
    if not all(values[k].plain or same_order(values[k], CHANNELS_LAST) for k in images):
        return values
    if fuser.channels_last[op.outputs[0]]:
        return [turned(fuser, op, v) if k in images and v.plain else v for k, v in enumerate(values)]
    for k in images:
        fuser.write_planes(op.inputs[k])
    return [fuser.plain(v, op) if k in images else v for k, v in enumerate(fuser.operands(op))]


def _is_batch(value: Value) -> bool:
    """Whether a value is a batch of images."""
    shape = value.shape
    return not value.constant and len(shape) == 4 and shape[0] > 1 and is_image((1, *shape[1:]))


def _as_planes(fuser: Fuser, op: Op, operand: int) -> Value:
    """An operand as planes: what makes it for this op alone writes it so."""
    id = op.inputs[operand]
    if fuser.sole_reader(id):
        fuser.write_planes(id)
    return fuser.plain(fuser.operands(op)[operand], op)


def turned(fuser: Fuser, op: Op, value: Value) -> Value:
    """An image of planes with its channels last, changed once for all who ask."""
    known = fuser.turned.get(value.storage)
    if known is None or value.partial:
        out = Value(fuser.storage(), value.shape, value.bits, value.bits, order=CHANNELS_LAST)
        known = fuser.add(ChannelsLast(op.name, op.type, (value,), out)).output
        if not value.partial:
            fuser.turned[value.storage] = known
    return known


def normed_by_planes(fuser: Fuser, op: Op, value: Value) -> bool:
    """Whether an image that lies channels last is normalised plane by plane: one image whose rows are whole granules,
    which a pooling reads as channels, unless each SHAVE has as many whole granules of channels as there are rows; and
    images of which each tile has one, unless each SHAVE has as many channels."""
    if len(value.shape) != 4 or len(fuser.axes(op.inputs[1], 4)) < 2 or value.plain:
        return False
    images, channels, height, width = value.shape
    own = channels // fuser.shaves
    own -= 0 if fuser.each else own % CHANNELS
    return (images == 1 or fuser.each) and width % CHANNELS == 0 and own < height


def norm_planes(fuser: Fuser, op: Op, kernel: str) -> None:
    """A kernel along the lines that the planes of an image are (instance normalisation)."""
    fuser.write_planes(op.inputs[0])
    value = fuser.plain(fuser.values[op.inputs[0]], op)
    n, c = value.shape[:2]
    lines = replace(value, shape=(1, n, c, value.elements // (n * c)), order=())
    made = Value(fuser.storage(), lines.shape, value.bits, value.bits)
    fuser.emit(op, Unary(op.name, op.type, (lines,), made, kernel=kernel, axis=3, planes=True))
    fuser.values[op.outputs[0]] = replace(made, shape=value.shape)
