"""Plans of reductions as chains of poolings; plan_reduce_conv has the convolutions that they need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.nodes import Reduce
from npusim.lowering.ir.plan import Plan, cmx_capacity, transfer
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION, pooling_kernels, pooling_windows
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, canonical4, ceil_div, even, round_up
from npusim.lowering.plans.dpu.folded_mean import folds, padded_channels, plan_folded
from npusim.lowering.plans.dpu.images import WORKLOAD, assemble, workload_channels
from npusim.lowering.plans.dpu.pool_chain import (
    Chain,
    by_channels,
    plan_across,
    plan_channel_chain,
    plan_down,
    plan_expanded,
)
from npusim.lowering.plans.dpu.reduce_conv import (
    plan_sum_of_planes,
    plan_widen,
    plan_widen_over_channels,
    widens_over_channels,
)
from npusim.lowering.plans.dpu.reduce_square import plan_over_rows, plan_square
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.lowering.plans.dpu.widen import plan_widen_channels
from npusim.lowering.plans.dpu.widened import plan_widened
from npusim.program.work import DpuKind, DpuWork, Work

#: Elements of a single row that are widened as they are loaded (160 are, 192 are padded to 256 for a convolution).
EXPANDED_ELEMENTS = 160


def plan_reduce(node: Reduce, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """ReduceSum, Mean or Max over one run of memory dimensions (``Reduce.view``: before, length, after).

    Over C of [1,C,H,W]: the rest are 16 channels and HW/16 columns. Over H or W: planes become channels last first; one
    plane (the outermost of two, or of more than three dimensions) is widened to 16 channels by a convolution
    (evidence/lowering.md#1.2.25).
    """
    value, out = node.inputs[0], node.output
    before, length, after = node.view
    sides = [value.shape[a] for a in node.axes if value.shape[a] > 1]
    if not value.plain and before == 1 and len(sides) == 2:
        return [_whole_image(node, hw, value, out, sides)]
    kind = _pooling(node)
    if value.plain and len(value.shape) == 4 and value.shape[0] == 1 and len(sides) == 2 and after == 1:
        height, width = sides
        image = replace(fresh(value), shape=(height, width, round_up(before, CHANNELS)), order=())
        turned = plan_reorder(node, hw, value, image, (before, height, width), fresh)
        if width % CHANNELS == 0 and height >= hw.tiles:
            return [*turned, plan_over_rows(node, hw, kind, image, out)]
        return [*turned, _whole_image(node, hw, image, out, sides)]
    dims = len(value.memory_order)
    if _is_outermost(node, hw):
        return [_outermost(node, hw, kind)]
    if before == 1 and dims == 3:
        if node.by == "sum" and _sums_with_ones(value, out):
            return plan_sum_of_planes(node, hw, fresh)
        wide = CHANNELS if after % CHANNELS == 0 else round_up(after, CHANNELS)
        chain = Chain(node, hw, kind, length, ceil_div(after, wide), wide, across=False)
        return plan_down(chain, value, out, fresh)
    across = after == 1
    flat = across and len(value.shape) < 4 and min(before, length) > 1
    if flat and before > MAX_DIMENSION:
        return _many_lines(node, hw, kind, before, length, fresh)
    if flat:
        return plan_square(node, hw, kind, before, length, fresh)
    if across:
        n, c, height, width = canonical4(tuple(value.shape[d] for d in value.memory_order))
        channels = n * c
    else:
        channels, height, width = before, length, after
    wide = round_up(channels, CHANNELS)
    if across and channels == height == 1 and width <= EXPANDED_ELEMENTS:
        return [plan_expanded(Chain(node, hw, kind, 1, width, CHANNELS, across), value, out)]
    if across and kind == "avgpool" and len(sides) == 1 and channels < wide and folds(width, channels):
        chain = Chain(node, hw, kind, height, width, channels, across)
        if channels == 1:
            return plan_folded(chain, value, out, fresh)
        turned_channels = padded_channels(hw, height, width, channels)
        folded = replace(fresh(value), shape=(height, width, turned_channels), order=())
        *plans, turned_plan = plan_reorder(node, hw, value, folded, (channels, height, width), fresh)
        plans.append(turned_plan if turned_channels == channels else replace(turned_plan, out_dist=None))
        return [*plans, *plan_folded(chain, folded, out, fresh)]
    target = replace(fresh(value), shape=(height, width, wide), order=())
    chain = Chain(node, hw, kind, height, width, wide, across)
    over_channels = channels > 1 and by_channels(chain)
    shared = channels == 1 and widens_over_channels(hw, height, width)
    if channels == 1 and hw.software.fused_widening and not shared:
        return [plan_widened(chain, value, out)]
    if channels == 1:
        plans = [(plan_widen_over_channels if shared else plan_widen)(node, hw, value, target)]
    elif channels < wide and width > MAX_DIMENSION:
        # Rows that are longer than a dimension may be are turned as they are, and widened behind that.
        narrow = replace(fresh(value), shape=(1, channels, height, width), order=CHANNELS_LAST)
        image = replace(target, shape=(1, wide, height, width), order=CHANNELS_LAST)
        plans = plan_reorder(node, hw, value, narrow, (channels, height, width), fresh)
        plans.append(plan_widen_channels(node, hw, narrow, image))
    else:
        plans = plan_reorder(
            node, hw, value, target, (channels, height, width), fresh, by_channels=over_channels
        )
    if over_channels:
        return [*plans, *plan_channel_chain(chain, target, out, fresh)]
    return [*plans, *(plan_across(chain, target, out) if across else plan_down(chain, target, out, fresh))]


def _is_outermost(node: Reduce, hw: Hardware) -> bool:
    """Whether the first dimension of three is reduced, which are the rows, columns and channels of an image to the
    compiler, by one kernel."""
    value = node.inputs[0]
    if not value.plain or len(value.shape) != 3 or node.axes != (0,):
        return False
    rows, _, channels = value.shape
    return (
        channels % CHANNELS == 0
        and channels >= CHANNELS * hw.tiles
        and len(pooling_kernels(rows, hw.software.pooled_window)) == 1
    )


def _outermost(node: Reduce, hw: Hardware, kind: DpuKind) -> Plan:
    """The tiles share the channels of an image that each reads whole; in slices of channels, of which the next one is
    loaded meanwhile, where all of it does not fit."""
    value, out = node.inputs[0], node.output
    height, width, channels = value.shape
    granules, room = channels // CHANNELS, cmx_capacity(hw)

    def fits(slices: int) -> bool:
        if slices == 1:
            return value.bytes + out.bytes <= room
        return granules % slices == 0 and 2 * value.bytes + out.bytes <= (
            hw.software.pipeline_share * room * slices
        )

    slices = next((n for n in range(1, granules) if fits(n)), granules)
    cuts = even(channels // slices, hw.tiles, CHANNELS)

    def works(tile: int, index: int) -> Iterable[Work]:
        for own in cuts[tile : tile + 1]:
            yield DpuWork(kind, 1, width, own, 1, height, 1, height, variant_channels=workload_channels(own))

    strategy = f"{kind} [{height}] over channels (SOK)"
    return assemble(node, hw, [value], [WHOLE], out, WHOLE, slices, works, strategy)


def _many_lines(
    node: Reduce, hw: Hardware, kind: DpuKind, lines: int, length: int, fresh: Fresh
) -> list[Plan]:
    """More lines than a tensor of the DPU has channels: an image of 16 planes, its rows padded by copies to a multiple
    of 16, where the lines are one; else of as few planes as can be, which are widened."""
    value, out = node.inputs[0], node.output
    planes = (
        CHANNELS
        if lines % CHANNELS == 0
        else next(n for n in range(2, lines + 1) if lines % n == 0 and lines // n <= MAX_DIMENSION)
    )
    rows = lines // planes if planes < CHANNELS else round_up(lines // planes, CHANNELS)
    before, after, source, result = [], [], value, out
    if rows * planes > lines:
        source = replace(fresh(value), shape=(planes, rows, length), order=())
        result = replace(fresh(out), shape=(planes, rows), order=())
        sizes = (value.elements, source.elements - value.elements)
        moves = [(0, transfer("ddr", "ddr", size, value.bits, hw)) for size in sizes]
        before = [Plan(node, [value], [None], source, None, [], "rows padded in DDR", ddr_moves=moves)]
        kept = [(0, transfer("ddr", "ddr", out.elements, out.bits, hw))]
        after = [Plan(node, [result], [None], out, None, [], "padding left out", ddr_moves=kept)]
    wide = round_up(planes, CHANNELS)
    target = replace(fresh(value), shape=(rows, length, wide), order=())
    turned = plan_reorder(node, hw, source, target, (planes, rows, length), fresh)
    chain = Chain(node, hw, kind, rows, length, wide, across=True)
    return [*before, *turned, *plan_across(chain, target, result), *after]


def _pooling(node: Reduce) -> DpuKind:
    return "maxpool" if node.by == "max" else "avgpool"


def _sums_with_ones(value: Value, out: Value) -> bool:
    """Whether planes are added up by a convolution with ones: where their rows are no multiple of 16, and the result
    keeps the dimension (``convert_reduce_sum_to_conv.cpp``; [1,24,256,256] and six smaller ones are pooled)."""
    return len(out.shape) == len(value.shape) == 4 and value.shape[-1] % CHANNELS > 0


def _whole_image(node: Reduce, hw: Hardware, value: Value, out: Value, sides: list[int]) -> Plan:
    """An image whose channels the tiles share, in whole granules (the global pools of MobileNet and ResNet); by several
    kernels one after the other where it is larger than one, which then stay in CMX. Fewer channels than the tiles can
    share are computed on every tile."""
    channels, (height, width) = round_up(out.elements, CHANNELS), sides
    stages = pooling_windows(height, width, hw.software.pooled_window)
    shared = len(stages) == 1 or channels >= CHANNELS * hw.tiles
    cuts = even(channels, hw.tiles, CHANNELS) if shared else (channels,) * hw.tiles
    kind = _pooling(node)

    def works(tile: int, index: int) -> Iterable[Work]:
        rows, columns = height, width
        for kernel in stages if tile < len(cuts) else ():
            rows, columns = ceil_div(rows, kernel[0]), ceil_div(columns, kernel[1])
            yield DpuWork(kind, rows, columns, cuts[tile], 1, *kernel, kernel[0], variant_channels=WORKLOAD)

    whole = hw.software.broadcast_output or not shared or channels > out.elements
    dist = WHOLE if whole else Dist(1, cuts)
    strategy = f"{kind} {sides} " + ("over channels (SOK)" if shared else f"repeated on {hw.tiles} tiles")
    return assemble(node, hw, [value], [WHOLE], out, dist, 1, works, strategy)
