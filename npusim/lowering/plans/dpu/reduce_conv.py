"""Plans of reductions with convolutions: sums with weights of ones, and one plane widened to 16 channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from npusim.costs.dpu import STENCIL_PIXELS, choose_mode, cycles
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fold_rows, fused_constant
from npusim.lowering.ir.nodes import Node, Reduce
from npusim.lowering.ir.plan import CONSTANT, Load, Plan, cmx_capacity, odd_halves, transfer
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import (
    ADDED_CONSTANT,
    WHOLE,
    Fresh,
    Value,
    canonical4,
    ceil_div,
    even,
    round_up,
)
from npusim.lowering.plans.dpu.images import OUTPUTS_SHARE, assemble, fit, fit_chain, row_split
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.program.work import DpuWork, Work

#: Share of the weights of a widening convolution that are zero, and saved: each of 256 outputs reads one of 16 inputs.
WIDENING_SKIPS = 1 - 1 / CHANNELS
#: How many times as long rows take from which that convolution is split over its outputs (3720: rows at 1.10, outputs
#: at 1.12; 4000 and 5010: outputs at 1.29 to 1.8, rows at 1.0).
ROWS_TOO_LONG = 1.11


def plan_reduce_conv(node: Reduce, hw: Hardware, whole: bool = False) -> Plan:
    """ReduceSum over the innermost axis as a 1x1 convolution with 16 output channels of ones, on every tile where all
    of them have the ``whole`` operand."""
    before, length, _ = node.view
    height, width = fold_rows(before, hw.software.row_fold)
    return _ones(node, hw, node.inputs[0], height, width, length, whole=whole)


def plan_sum_of_planes(node: Reduce, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """ReduceSum over C that is no multiple of 16: channels last, widened, then a convolution with ones
    (evidence/lowering.md#1.2.25)."""
    value = node.inputs[0]
    _, length, after = node.view
    h, w = canonical4(tuple(value.shape[d] for d in value.memory_order))[2:]
    height, width = (h, w) if h * w == after else (1, after)
    wide = round_up(length, CHANNELS)
    target = replace(fresh(value), shape=(height, width, wide), order=())
    before = plan_reorder(node, hw, value, target, (length, height, width), fresh)
    return [*before, _ones(node, hw, target, height, width, wide)]


def plan_one_term(node: Node, hw: Hardware, fresh: Fresh) -> list[Plan]:
    """ReduceSum over an innermost axis of one element: 16 elements are a pixel, which is widened to 16 pixels of 16
    channels; ones add each pixel's channels up, those of 16 pixels at once where rows of pixels are so long."""
    value = node.inputs[0]
    pixels = ceil_div(value.elements, CHANNELS)
    target = replace(fresh(value), shape=(pixels, CHANNELS, CHANNELS), order=())
    height, width = fold_rows(pixels * CHANNELS, hw.software.row_fold)
    if height > MAX_DIMENSION:
        width = next(
            w for w in range(ceil_div(height * width, MAX_DIMENSION), height + 1) if height * width % w == 0
        )
        height = pixels * CHANNELS // width
    merged = CHANNELS if width % CHANNELS == 0 else 1
    widened = plan_widen(node, hw, value, target)
    return [widened, _ones(node, hw, target, height, width // merged, CHANNELS * merged, ahead=True)]


def _ones(
    node: Node, hw: Hardware, value: Value, height: int, width: int, length: int, ahead: bool = False,
    whole: bool = False,
) -> Plan:  # fmt: skip
    """A convolution with ``length`` input channels of ones; ``ahead``: where it is sliced two slices fit side by
    side."""
    out, tiles = node.output, hw.tiles
    k16 = round_up(length, CHANNELS)
    in_dist, out_dist = (WHOLE if whole else row_split(v, height, tiles) for v in (value, out))
    rows = even(height, tiles) if not in_dist.whole else (height,) * tiles
    weights = Value(ADDED_CONSTANT, (CHANNELS, k16), constant=True)
    in_bytes = in_dist.elements(0, value.elements) * value.bits // 8
    fixed = CHANNELS * (k16 * 2 + TABLE_BYTES)
    out_bytes = rows[0] * width * CHANNELS * 2
    slices = fit(hw, in_bytes, out_bytes, rows[0], fixed=fixed)
    if ahead and slices > 1:
        room = hw.software.pipeline_share * cmx_capacity(hw)
        slices = max(slices, ceil_div(2 * (in_bytes + out_bytes), int(room)))
    mode = choose_mode(height, width, CHANNELS, hw)

    def works(tile: int, index: int) -> Iterable[Work]:
        yield DpuWork("conv", ceil_div(rows[tile], slices), width, CHANNELS, k16, mpe_mode=mode,
                      skipped=hw.software.ones_saving)  # fmt: skip

    def constants(index: int) -> list[Load]:
        return [fused_constant(CHANNELS, k16, weights, hw, 0)]

    strategy = "ReduceSum as a convolution with ones"
    plan = assemble(node, hw, [value], [in_dist], out, out_dist, slices, works, strategy, constants)
    return plan.changed(lambda part: replace(part, out_bytes=(out_bytes // slices,) * tiles))


def widening_weights(hw: Hardware, *key: int) -> Load:
    """The weights of a widening convolution, which are stored sparse, and its table (8,448 B in every trace)."""
    channels, stored = CHANNELS * CHANNELS, CHANNELS // 2
    weights = Value(ADDED_CONSTANT, (channels, stored), constant=True)
    return fused_constant(channels, stored, weights, hw, *key)


def widens_over_channels(hw: Hardware, height: int, columns: int) -> bool:
    """Whether the tiles share the outputs of the convolution that widens a plane of so many rows and columns: where
    that takes the DPU clearly less long than sharing rows, and CMX takes plane and result, which every tile has whole.
    One row stays one."""
    width, channels = ceil_div(columns, CHANNELS), CHANNELS * CHANNELS
    rows = even(height, hw.tiles)[0] if height >= hw.tiles else height
    if 2 * height * width * (CHANNELS + channels) > cmx_capacity(hw):
        return False

    def time(own: int, count: int) -> float:
        works = (DpuWork("conv", own, width, count, CHANNELS, mpe_mode=mode) for mode in STENCIL_PIXELS)
        return min(cycles(work, hw) for work in works)

    shared = even(channels, hw.tiles, CHANNELS)[0]
    return height > 1 and hw.tiles > 1 and time(rows, channels) > ROWS_TOO_LONG * time(height, shared)


def plan_widen_over_channels(node: Node, hw: Hardware, value: Value, target: Value) -> Plan:
    """Every tile reads the plane and writes its share of the outputs to all; its table, its weights and their map of
    zeros come by themselves."""
    height, width = target.shape[0], ceil_div(target.shape[1], CHANNELS)
    cuts = even(CHANNELS * CHANNELS, hw.tiles, CHANNELS)
    mode = choose_mode(height, width, CHANNELS * CHANNELS, hw)

    def works(tile: int, _: int) -> Iterable[Work]:
        yield DpuWork("conv", height, width, cuts[tile], CHANNELS, mpe_mode=mode, skipped=WIDENING_SKIPS)

    def constants(_: int) -> list[Load]:
        sizes = [(tile, cut * TABLE_BYTES) for _ in range(3) for tile, cut in enumerate(cuts)]
        loads = [Load(CONSTANT, t, transfer("ddr", "cmx", size // 2, 16, hw), size) for t, size in sizes]
        return odd_halves(loads, hw)

    strategy = "one plane widened to 16 channels by a convolution over its outputs (SOK)"
    return assemble(node, hw, [value], [WHOLE], target, WHOLE, 1, works, strategy, constants)


def plan_widen(node: Node, hw: Hardware, value: Value, target: Value) -> Plan:
    """One plane [H,W] as 16 channels, 15 of them zero: a convolution that reads 16 pixels as channels and writes
    16 x 16 (``pad_[0, 15, 0, 0]_expand_input/as_convolution``; 6 slices of [1,1,256,1536] on 4 tiles). One slice alone
    is loaded ahead, so that two results fit."""
    height, width = target.shape[0], ceil_div(target.shape[1], CHANNELS)
    tiles, out_channels = hw.tiles, CHANNELS * CHANNELS
    in_dist, out_dist = row_split(value, height, tiles), row_split(target, height, tiles)
    rows = even(height, tiles) if not in_dist.whole else (height,) * tiles
    in_bytes, out_bytes = in_dist.elements(0, value.elements) * 2, out_dist.elements(0, target.elements) * 2
    tall = width == 1 and height > tiles
    if tall:
        slices = fit(hw, in_bytes, out_bytes, rows[0], ahead=False, least=ceil_div(height, MAX_DIMENSION))
    else:
        fixed = widening_weights(hw).cmx_bytes
        slices = fit_chain(hw, in_bytes + out_bytes, width, OUTPUTS_SHARE, fixed)
    mode = choose_mode(height, width, out_channels, hw)

    def works(tile: int, index: int) -> Iterable[Work]:
        own = ceil_div(rows[tile], slices) if tall else rows[tile]
        columns = 1 if tall else ceil_div(width, slices)
        skipped = hw.software.ones_saving if tall else WIDENING_SKIPS
        yield DpuWork("conv", own, columns, out_channels, CHANNELS, mpe_mode=mode, skipped=skipped)

    def constants(index: int) -> list[Load]:
        return [widening_weights(hw, index)]

    strategy = "one plane widened to 16 channels by a convolution"
    plan = assemble(node, hw, [value], [in_dist], target, out_dist, slices, works, strategy, constants)
    return replace(plan, ahead=1)
