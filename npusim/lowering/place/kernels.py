"""What kernels want of an image that the DPU makes, and what the compiler takes for their time."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.kernels import KERNELS
from npusim.lowering.ir.nodes import Conv, Depthwise, Node, Pool, Unary, axis_of
from npusim.lowering.ir.plan import Plan, load_bytes
from npusim.lowering.ir.shapes import CHANNELS, H
from npusim.lowering.ir.values import Value
from npusim.lowering.tile.matmul_estimate import Behind

#: Activations whose cost the compiler knows: those that it shares by rows.
_KNOWN = tuple(name for name, kernel in KERNELS.items() if kernel.axes[0] == H)


def read_in_channels(value: Value, readers: Sequence[Node], hw: Hardware) -> bool:
    """Whether kernels of several tiles alone read a value, that take what part of its channels a tile has: activations,
    and products with those where there is a row for each SHAVE (products of fewer see other dimensions)."""
    if any(_is_line(value, reader) for reader in readers):
        return False
    alone = hw.software.single_tile_kernels
    kernels = [n for n in readers if isinstance(n, Unary) and not n.runs("convert", *alone)]
    made = {n.output.storage for n in kernels}
    rows = value.shape[2] if len(value.shape) == 4 else 0
    tall = rows >= hw.tiles * hw.shave.per_tile
    products = [
        n for n in readers if n.runs("multiply") and tall and any(v.storage in made for v in n.inputs)
    ]
    return bool(kernels) and len(kernels) + len(products) == len(readers)


def has_padded_planes(maker: Node | None, hw: Hardware) -> bool:
    """Whether the DPU makes planes of an image together with those that its channels are padded by, which have to be
    cut off for a reader that sees planes."""
    if not isinstance(maker, Conv | Depthwise | Pool) or maker.window is None:
        return False
    if hw.software.real_channels and not isinstance(maker, Conv):
        return False
    shape = maker.output.shape
    planes = maker.output.plain and len(shape) == 4 and prod(shape[2:]) > 1
    return planes and shape[1] % CHANNELS > 0


def counted(plan: Plan, hw: Hardware) -> Behind:
    """What the compiler counts for an op where it weighs the one behind it. Of activations, whose cost it does not know
    but for those that it shares by rows, each byte of the last slice on a tile takes a DPU cycle."""
    node, parts = plan.node, plan.slices
    activation = isinstance(node, Unary) and node.axis is None and not node.runs("convert")
    if activation and not node.runs(*_KNOWN):
        us = max(parts[-1].out_bytes) / hw.clocks.dpu_mhz
    else:
        us = sum(max((work_us(work, hw, True) for _, work in part.computes), default=0.0) for part in parts)
    held = max((load_bytes(part.loads, hw.tiles) + max(part.out_bytes) for part in parts), default=0)
    return Behind(us, held)


def _is_line(value: Value, reader: Node) -> bool:
    """Whether a value is one line to a reader that works along it, and needs it whole on every tile."""
    axis = axis_of(reader)
    seen = [v.shape for v in reader.inputs if v.storage == value.storage]
    return axis is not None and any(shape[axis] == prod(shape) for shape in seen)
