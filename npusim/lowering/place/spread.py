"""Plans of products with a factor that is expanded first, since the SHAVE kernel broadcasts one dimension only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Load, Plan, Slice, cmx_capacity, load_bytes, load_value, piece
from npusim.lowering.ir.values import Value, ceil_div
from npusim.lowering.plans.dma.moves import plan_broadcast
from npusim.lowering.plans.shave.kernel import plan_shave
from npusim.program.work import DmaWork, Work


def spread_factor(node: Node) -> int | None:
    """Which operand of a product [A, B, C, D] is a computed [A, B, 1, 1] (Mul_10 of Mamba-2)."""
    dims = [d for d in (node.output.order or range(len(node.output.shape))) if node.output.shape[d] > 1]
    if len(node.inputs) != 2 or len(dims) != 4:
        return None
    for number, value in enumerate(node.inputs):
        same = len(value.shape) == len(node.output.shape)
        if same and not value.constant and [d for d in dims if value.shape[d] > 1] == dims[:2]:
            return number
    return None


def plan_spread(
    node: Node, hw: Hardware, kernel: str, small: int, fresh: Callable[[Value], Value], granule: int = 1
) -> list[Plan]:
    """The factor is expanded in the CMX of one tile, to whole rows and then over them, and every tile copies its part
    of it from there; through DDR where the product is sliced, or the expanded factor and a part of it do not fit."""
    factor, full = node.inputs[small], fresh(node.output)
    inputs = [full if k == small else v for k, v in enumerate(node.inputs)]
    outer, *middle, row = [d for d in node.output.physical if d > 1]
    seen = [replace(v, shape=(1, outer, prod(middle), row), order=()) for v in (*inputs, node.output)]
    product = plan_shave(replace(node, inputs=tuple(seen[:-1]), output=seen[-1]), hw, kernel, granule=granule)
    product = replace(product, node=node, inputs=inputs, output=node.output)
    part = product.slices[0]
    capacity, out = cmx_capacity(hw), max(part.out_bytes)
    own, other = (
        load_bytes([x for x in part.loads if (x.operand == small) is mine], hw.tiles)
        for mine in (True, False)
    )
    if hw.tiles == 1 or len(product.slices) > 1 or full.bytes + own > capacity:
        return [plan_broadcast(replace(node, inputs=(factor,), output=full), hw), product]
    # What comes only when the expanded factor has been copied takes its place.
    beside = out if full.bytes + own + other <= capacity else out + other
    row = factor.bytes * node.output.shape[(node.output.order or range(len(node.output.shape)))[-1]]
    share = ceil_div(full.bytes, hw.dma.engines)
    spread: list[tuple[int, Work]] = [
        (0, DmaWork("cmx", "cmx", row, row, "resize")),
        (0, DmaWork("cmx", "cmx", full.bytes, full.bytes, "resize")),
        (0, DmaWork("cmx", "cmx", share, share)),
    ]
    held = own + max(0, full.bytes - beside)
    loads = [load for load in part.loads if load.operand != small]
    loads.append(Load(small, 0, load_value(factor, factor.elements, hw), held))
    whole = replace(part, loads=loads, computes=[*spread, *part.computes])
    dists = [None if k == small else d for k, d in enumerate(product.in_dists)]
    return [replace(product, node=node, inputs=node.inputs, in_dists=dists, slices=[whole])]


def plan_rows_of_planes(plan: Plan, hw: Hardware) -> Plan:
    """The plan of a kernel whose tiles have rows of all planes: the rows of each of a tile's SHAVEs do not lie in one
    piece, so that they are loaded and stored by themselves, operands and result."""
    count, full = hw.shave.per_tile, plan.output.elements
    large = {k for k, v in enumerate(plan.inputs) if v.elements == full}

    def by_shaves(part: Slice) -> Slice:
        loads = [
            x
            for load in part.loads
            for x in ([piece(load, count, i) for i in range(count)] if load.operand in large else [load])
        ]
        return replace(
            part, loads=loads, stores=[piece(x, count, i) for x in part.stores for i in range(count)]
        )

    dists = [None if k in large else dist for k, dist in enumerate(plan.in_dists)]
    return replace(plan.changed(by_shaves), in_dists=dists, out_dist=None)
