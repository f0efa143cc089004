"""Rows padded to whole granules of channels, by a convolution that reads several of them as one pixel."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import fold_rows, geometry, zeros_behind
from npusim.lowering.ir.nodes import Conv, Node
from npusim.lowering.ir.plan import Plan, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Fresh, Value, round_up
from npusim.lowering.plans.dpu.widen import plan_widen_channels

#: Rows that a convolution pads have a multiple of so many elements, at least 8 and less than 32; others are copied.
_STEP, _LEAST, _MOST = 4, CHANNELS // 2, 2 * CHANNELS


def padded_by_convolution(rows: int, width: int) -> bool:
    """Whether rows of so many elements are padded by a convolution: several of them are whole granules."""
    return width % _STEP == 0 and _LEAST <= width < _MOST and rows % _together(width) == 0


def _together(width: int) -> int:
    """How many rows are whole granules."""
    return CHANNELS // gcd(width, CHANNELS)


def plan_row_padding(
    node: Node, hw: Hardware, value: Value, fresh: Fresh, rows: int, width: int
) -> tuple[Plan, Value]:
    """The convolution that pads rows as if they were pixels with so many channels, and the padded value."""
    wide, together = round_up(width, CHANNELS), _together(width)
    height, columns = fold_rows(rows // together, hw.software.row_fold)
    padded = replace(fresh(value), shape=(rows, wide), order=())
    source, target = (
        replace(v, shape=(1, channels, height, columns * together), order=())
        for v, channels in ((value, width), (padded, wide))
    )
    plan = plan_widen_channels(node, hw, source, target)
    return replace(
        plan, output=padded, out_dist=None, strategy=f"rows of {width} padded by a convolution"
    ), padded


def plan_expansion(node: Conv, hw: Hardware, fresh: Fresh) -> tuple[Plan, Conv]:
    """The copies in DDR that expand the rows of a MatMul for the DPU, and the MatMul of what they make: where rows as
    well as their terms are padded, or tiles or slices read parts (npu_compiler: the copies of an expansion are merged
    with the one transfer that brings all of it)."""
    value, (height, width) = node.inputs[0], geometry(node, hw)
    sizes = (value.elements, *filter(None, zeros_behind(node, hw)))
    wide = replace(fresh(value), shape=(height * width, round_up(node.k, CHANNELS)), order=())
    moves = [(0, transfer("ddr", "ddr", size, value.bits, hw)) for size in sizes]
    plan = Plan(node, [value], [None], wide, None, [], "rows expanded in DDR", ddr_moves=moves)
    return plan, replace(node, inputs=(wide, *node.inputs[1:]), m=height * width, k=wide.shape[1])
