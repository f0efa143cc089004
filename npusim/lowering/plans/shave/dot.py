"""Plans of sums of products on SHAVE: a batched MatMul [B, M, K] x [B, N, K] as calls of the kernel ``dot``."""

from __future__ import annotations

from collections.abc import Callable

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Bmm
from npusim.lowering.ir.plan import ALL_TILES, Load, Plan, Slice, cmx_capacity, load_value, nth, store
from npusim.lowering.ir.values import Dist, ceil_div, even
from npusim.program.work import ShaveWork, Work


def plan_dot(node: Bmm, hw: Hardware) -> Plan:
    """The tiles share the batch, or the rows where it is shorter than they are many; slices are whole MatMuls, or rows
    of one where it does not fit; the SHAVEs of a tile share the rows of a slice."""
    batch, m, n, k = node.batch, node.m, node.n, node.k
    (lhs, rhs), out = node.inputs, node.output
    by_batch = batch >= hw.tiles
    rows = (m,) * hw.tiles if by_batch else even(m, hw.tiles)
    groups = even(batch, hw.tiles) if by_batch else (batch,) * len(rows)

    def size(g: int, r: int) -> int:
        return ceil_div(g * (r * k * lhs.bits + n * k * rhs.bits + r * n * out.bits), 8)

    over_groups = _slices(groups[0], lambda g: size(g, rows[0]), hw)
    over_rows = _slices(rows[0], lambda r: size(1, r), hw)
    slices = []
    for i in range(over_groups * over_rows):
        g, r = (
            [nth(even(own, over), index) for own in parts]
            for parts, over, index in (
                (groups, over_groups, i // over_rows),
                (rows, over_rows, i % over_rows),
            )
        )
        used = [t for t in range(len(groups)) if g[t] * r[t]]
        loads = [
            Load(0, t, load_value(lhs, e, hw), e * lhs.bits // 8) for t in used for e in (g[t] * r[t] * k,)
        ]
        for t in used if by_batch else (ALL_TILES,):
            e = g[t] * n * k
            loads.append(Load(1, t, load_value(rhs, e, hw), e * rhs.bits // 8))
        computes: list[tuple[int, Work]] = []
        for t in used:
            for part in even(g[t] * r[t], hw.shave.per_tile):
                reads = part * k * lhs.bits + ceil_div(part, r[t]) * n * k * rhs.bits
                bits = part * n * out.bits
                call = ShaveWork("dot", part * n, bits // 8, (reads + bits) // 8, part * n * k)
                computes.append((t, call))
        stores = [store(t, g[t] * r[t] * n, out, hw) for t in used]
        held = [0] * hw.tiles
        for t in used:
            held[t] = g[t] * r[t] * n * out.bits // 8
        slices.append(Slice(loads, computes, stores, tuple(held)))
    if by_batch:
        dists = [Dist(1, tuple(g * v.elements // batch for g in groups)) for v in (lhs, rhs, out)]
    else:
        dists = [Dist(batch, tuple(r * k for r in rows)), Dist(), Dist(batch, tuple(r * n for r in rows))]
    shared = f"{batch} groups" if by_batch else f"{m} rows"
    strategy = f"sums of products, {shared} over {len(groups)} tiles"
    if len(slices) > 1:
        strategy += f", {len(slices)} slices"
    return Plan(node, [lhs, rhs], [dists[0], dists[1]], out, dists[2], slices, strategy)


def _slices(extent: int, size: Callable[[int], int], hw: Hardware) -> int:
    """The least number of even slices of an extent of which the largest fits CMX; the extent itself where none does."""
    capacity = cmx_capacity(hw)
    return next((s for s in range(1, extent) if size(ceil_div(extent, s)) <= capacity), extent)
