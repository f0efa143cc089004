"""Plans of SHAVE kernels: split over tiles, then over the SHAVEs of a tile, sliced to fit CMX."""

from __future__ import annotations

from math import prod

from npusim.costs.work import ShaveWork
from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import (
    Plan,
    Slice,
    cmx_capacity,
    held,
    operand_loads,
    output_stores,
    slice_part,
)
from npusim.lowering.values import WHOLE, Dist, Value, along, canonical4, ceil_div, even

#: Kernels that are split over tiles along H and over SHAVEs along C (facts/vendor_lowering.md 2.4, group A); all
#: others take C for both (group B).
ROW_KERNELS = frozenset({"exp", "tanh", "sin", "erf", "floor", "power", "divide"})
#: Elements of one granule when a tensor is refolded to a flat vector for balance.
FLAT_GRANULE = 16


def _split(shape: tuple[int, ...], kernel: str, tiles: int, axis: int | None) -> Dist:
    """How the output of a kernel is cut over the tiles. ``axis`` is one that must stay whole (softmax, cumsum)."""
    n, c, h, w = canonical4(shape)
    four = (n, c, h, w)
    locked = None if axis is None else axis + 4 - len(shape)
    prefer = (2, 1) if kernel in ROW_KERNELS else (1, 2)
    if c == 1 or locked == prefer[0]:
        prefer = (2, 1) if locked != 2 else (1, 3)
    for dim in prefer:
        if dim != locked and four[dim] >= tiles:
            return along(four, dim, even(four[dim], tiles))
    total = prod(four)
    if locked is None and total >= FLAT_GRANULE * tiles:
        return Dist(1, even(total, tiles, FLAT_GRANULE))
    for dim in (*prefer, 3, 0):
        if dim != locked and 1 < four[dim]:
            return along(four, dim, even(four[dim], tiles))
    return WHOLE


def _operand_dist(value: Value, output: Value, dist: Dist) -> Dist:
    """How an operand must lie so that every tile has what it needs: cut like the output, or whole if broadcast."""
    if dist.whole or value.elements == output.elements:
        return dist
    return WHOLE


def _shares(elements: int, shaves: int, row: int) -> list[int]:
    """A tile's elements over its SHAVEs, in whole rows where there are enough."""
    if shaves == 1 or elements <= FLAT_GRANULE:
        return [elements]
    rows = elements // row if row and elements % row == 0 else 0
    if rows >= shaves:
        return [r * row for r in even(rows, shaves)]
    return list(even(elements, shaves, FLAT_GRANULE))


def plan_shave(node: Node, hw: Hardware, kernel: str, hint: Dist | None = None) -> Plan:
    """The plan of one kernel over the activation operands of a node.

    ``hint`` is how the first operand lies in CMX already; an elementwise kernel takes over that split.
    """
    output = node.output
    tiles = 1 if kernel in hw.software.single_tile_kernels else hw.tiles
    axis = node.params.get("axis")
    if axis is not None and output.order:
        axis = output.order.index(axis)
    physical = output.physical
    whole_rows = kernel in ("rms", "mvn")
    if whole_rows:
        axis = len(physical) - 1
    if hint is not None and axis is None:
        dist = hint
    else:
        dist = _split(physical, kernel, tiles, axis)
    inputs = [v for v in node.inputs if not (v.constant and v.elements == 1)]
    dists: list[Dist | None] = [_operand_dist(v, output, dist) for v in inputs]
    shaves = 1 if kernel in hw.software.unsplit_kernels else hw.shave.per_tile
    return build(node, hw, kernel, inputs, dists, dist, shaves)


def build(
    node: Node,
    hw: Hardware,
    kernel: str,
    inputs: list[Value],
    dists: list[Dist | None],
    dist: Dist,
    shaves: int,
) -> Plan:
    """Slices of a SHAVE op whose split is decided: as many as its operands and result need to fit one tile's CMX."""
    output = node.output
    used = hw.tiles if dist.whole else len(dist.cuts)
    demand = max(held(output, dist, hw.tiles)) + sum(
        max(held(v, d or WHOLE, hw.tiles)) for v, d in zip(inputs, dists, strict=True)
    )
    slices = max(1, ceil_div(demand, cmx_capacity(hw)))
    row = output.physical[-1] if output.physical else 1
    io_bits = sum(v.elements * v.bits for v in inputs) + output.elements * output.bits
    parts = []
    for i in range(slices):
        loads = [
            load
            for k, (v, d) in enumerate(zip(inputs, dists, strict=True))
            for load in operand_loads(k, v, d or WHOLE, hw.tiles, hw, slices if v.elements == output.elements else 1, i)
        ]
        computes = []
        for tile in range(used):
            elements = slice_part(dist.elements(tile, output.elements), slices, i)
            for share in _shares(elements, shaves, row):
                io = io_bits * share // (8 * output.elements) if output.elements else 0
                computes.append((tile, ShaveWork(kernel, share, ceil_div(share * output.bits, 8), io)))
        stores = output_stores(output, dist, hw.tiles, hw, slices, i)
        parts.append(Slice(loads, computes, stores, held(output, dist, hw.tiles, slices)))
    strategy = f"{kernel} on {used} tiles" + (f", {slices} slices" if slices > 1 else "")
    if dist.whole:
        strategy = f"{kernel} repeated on {used} tiles"
    return Plan(node, inputs, dists, output, dist, parts, strategy)
