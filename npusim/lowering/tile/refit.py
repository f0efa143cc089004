"""Refit: slices that are still too large for CMX are cut again, evenly, all operands alike.

The planners' own rules follow the vendor's compiler, and for some shapes (long prompts, one tile, small scratchpads)
what they leave does not fit. Ops that work element by element or row by row can always be cut further along a
dimension that every operand has (depth-wise ones and pools: channels); the bytes moved stay the same. Dense
convolutions and MatMuls can't (what one part needs of the weights depends on the split), so they keep their planner's
slices and the scheduler says what does not fit.
"""

from __future__ import annotations

from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Product, axis_of
from npusim.lowering.ir.plan import Load, Plan, Slice, Store, booked_bytes, cmx_capacity
from npusim.lowering.ir.values import ceil_div
from npusim.program.work import BlockWork, DmaWork, DpuWork, ShaveWork, Work

#: Most parts that one slice is cut into.
_MOST_PARTS = 4096


def _demand(part: Slice, tiles: int, in_place: bool) -> int:
    return booked_bytes(part.loads, tiles) + (0 if in_place else max(part.out_bytes, default=0))


def _share_dma(work: DmaWork, n: int) -> DmaWork:
    return replace(work, bytes=ceil_div(work.bytes, n), counted_bytes=ceil_div(work.counted_bytes, n))


def _share(work: Work, n: int) -> Work:
    """One of ``n`` equal parts of some work."""
    if isinstance(work, BlockWork):
        raise TypeError("a call of a block is never cut")  # plan_block refuses what does not fit
    if isinstance(work, DmaWork):
        return _share_dma(work, n)
    if isinstance(work, ShaveWork):
        counts = (work.out_elements, work.out_bytes, work.io_bytes, work.macs)
        return ShaveWork(work.kernel, *(ceil_div(count, n) for count in counts))
    return _share_dpu(work, n)


def _share_dpu(work: DpuWork, n: int) -> DpuWork:
    if work.height >= n:
        return replace(work, height=ceil_div(work.height, n))
    if work.width >= n:
        return replace(work, width=ceil_div(work.width, n))
    return replace(work, out_channels=ceil_div(work.out_channels, n))


def _parts(part: Slice, n: int) -> list[Slice]:
    loads = [Load(x.operand, x.tile, _share_dma(x.work, n), ceil_div(x.cmx_bytes, n)) for x in part.loads]
    computes = [(tile, _share(work, n)) for tile, work in part.computes]
    stores = [Store(x.tile, _share_dma(x.work, n)) for x in part.stores]
    out = tuple(ceil_div(b, n) for b in part.out_bytes)
    return [Slice(loads, computes, stores, out, f"{part.detail} part {i + 1}/{n}".strip()) for i in range(n)]


def _longest_row(plan: Plan) -> int:
    """Elements that must stay together: what lies along the axis that the op works over."""
    axis = axis_of(plan.node)
    shape = plan.inputs[0].shape if plan.inputs else ()
    return shape[axis] if axis is not None and axis < len(shape) else 1


def refit(plan: Plan, hw: Hardware) -> Plan:
    """The plan, or one whose slices that exceed CMX are cut into as many parts as fit."""
    capacity = cmx_capacity(hw)
    if isinstance(plan.node, Product):
        return plan
    if all(_demand(s, hw.tiles, plan.in_place) <= capacity for s in plan.slices):
        return plan
    most = min(_MOST_PARTS, max(1, plan.output.elements // _longest_row(plan)))
    slices: list[Slice] = []
    for part in plan.slices:
        n = ceil_div(_demand(part, hw.tiles, plan.in_place), capacity)
        parts = _parts(part, n)
        while _demand(parts[0], hw.tiles, plan.in_place) > capacity and n < most:
            n += 1
            parts = _parts(part, n)
        slices.extend(parts if n <= most else [part])
    return replace(
        plan,
        slices=slices,
        out_dist=None if len(slices) > 1 else plan.out_dist,
        in_dists=[None] * len(plan.in_dists),
        chain=-1,
        gathered=False,
        strategy=f"{plan.strategy}, cut in {len(slices)} to fit",
    )
