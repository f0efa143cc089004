"""Images whose channels are no multiple of 16 written with zeros behind them, as a DPU op needs its operand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import gcd

from npusim.costs.dpu import choose_mode
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fold_rows, fused_load
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.nodes import Bmm, Node
from npusim.lowering.ir.plan import Load, Plan
from npusim.lowering.ir.shapes import CHANNELS, MAX_DIMENSION
from npusim.lowering.ir.values import Fresh, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.images import OUTPUTS_SHARE, assemble, fit, fit_chain, row_split
from npusim.program.work import DpuWork, Work


def plan_widen_channels(node: Node, hw: Hardware, value: Value, target: Value) -> Plan:
    """A convolution over an image [1, C, H, W] that lies channels last: so many pixels as have a multiple of 16
    channels together are read as one, and written with wider channels each. Its weights, of which each reads one
    channel or none, are stored sparse. Rows that are longer than a dimension may be, or that do not fit one by one, are
    cut in columns of which two slices fit with their results."""
    _, channels, height, width = value.shape
    pixels = CHANNELS // gcd(channels, CHANNELS)
    read, written = pixels * channels, pixels * target.shape[1]
    columns = ceil_div(width, pixels)
    in_dist, out_dist = (row_split(v, height, hw.tiles) for v in (value, target))
    rows = (height,) * hw.tiles if in_dist.whole else even(height, hw.tiles)
    in_bytes, out_bytes = (
        d.elements(0, v.elements) * v.bits // 8 for v, d in ((value, in_dist), (target, out_dist))
    )
    constant = written * (TABLE_BYTES + round_up(ceil_div(read, 8), 16)) + read * 16
    slices = fit(hw, in_bytes, out_bytes, rows[0], fixed=constant)
    long = columns > MAX_DIMENSION or slices > rows[0]
    if long:
        pieces = ceil_div(columns, MAX_DIMENSION)
        each = fit_chain(
            hw, ceil_div(in_bytes + out_bytes, pieces), ceil_div(columns, pieces), OUTPUTS_SHARE, constant
        )
        slices = pieces * each
    mode = choose_mode(height, columns, written, hw)

    def works(tile: int, _: int) -> Iterable[Work]:
        own, across = (
            (rows[tile], ceil_div(columns, slices)) if long else (ceil_div(rows[tile], slices), columns)
        )
        yield DpuWork("conv", own, across, written, read, in_bits=value.bits, out_bits=target.bits, mpe_mode=mode,
                      skipped=1 - 1 / read)  # fmt: skip

    def constants(_: int) -> list[Load]:
        return [fused_load(constant, 0)]

    strategy = f"{channels} channels widened to {target.shape[1]} by a convolution"
    return assemble(node, hw, [value], [in_dist], target, out_dist, slices, works, strategy, constants)


def widened_terms(node: Bmm, hw: Hardware, fresh: Fresh) -> tuple[list[Plan], Bmm]:
    """A MatMul of one batch with its terms made a multiple of 16 by such a convolution, where there are enough rows for
    every tile and whole pixels in each; and the convolution."""
    value, terms = node.inputs[0], node.k
    height, width = fold_rows(node.m, hw.software.row_fold)
    pixels = CHANNELS // gcd(terms, CHANNELS)
    alone = node.batch == 1 and not value.constant and value.plain and not value.partial
    if not alone or pixels == 1 or width % pixels or height < hw.tiles:
        return [], node
    image = replace(value, shape=(1, terms, height, width), order=CHANNELS_LAST)
    wide = replace(fresh(value), shape=(1, round_up(terms, CHANNELS), height, width), order=CHANNELS_LAST)
    plan = plan_widen_channels(node, hw, image, wide)
    rows = replace(wide, shape=(node.m, wide.shape[1]), order=())
    return [plan], replace(node, inputs=(rows, *node.inputs[1:]), k=wide.shape[1])
