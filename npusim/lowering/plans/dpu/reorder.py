"""Images from planes to channels innermost, by an identity pool of the DPU that writes them in that order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import CONSTANT, Load, Plan, Slice, load_value, transfer
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, ceil_div, even, round_up
from npusim.lowering.plans.dpu.images import assemble, fit
from npusim.lowering.plans.dpu.padding import padded_by_convolution, plan_row_padding
from npusim.program.work import DpuWork, Work


def plan_reorder(
    node: Node, hw: Hardware, value: Value, target: Value, planes: tuple[int, int, int], fresh: Fresh,
    *, by_channels: bool = False, reader: Literal["", "rows", "halo"] = "",
) -> list[Plan]:  # fmt: skip
    """``value`` [C,H,W] written channels-last into ``target`` [H,W,C'], C' >= C: a DPU eltwise op of the value with
    itself whose view has W as channels and C as height (evidence/lowering.md#1.1). It is cut over H like the
    pool or convolution that reads it, or over C (``by_channels``; not where few long rows are folded), and in slices
    along W, or C where W is too short.

    A reader of image rows finds them in CMX unless the pixels are folded, and then if every tile has folded its own
    rows and it needs no ``halo`` (not if rows are padded while they are loaded). Where W is no multiple of 16 the
    pixels are folded to 16 x HW/16; if that can't be, each row is padded, by copies in DDR or while it is loaded.
    Where C is widened too rows are padded in any case, if possible by a convolution.
    """
    channels, height, real = planes
    tiles, wide = hw.tiles, target.elements // (height * real)
    fold = real % CHANNELS > 0 or height < tiles
    by_channels = by_channels and not (fold and height * real >= channels)
    if fold and height * real % CHANNELS == 0 and (wide == channels or real % CHANNELS == 0):
        height, width = height * real // CHANNELS, CHANNELS
    else:
        width = round_up(real, CHANNELS)
    source, rows = value, channels * planes[1]
    padded = width > real and height == planes[1]
    plans, value = (
        _rows_padded(node, hw, value, fresh, rows, real, wide > channels) if padded else ([], value)
    )
    padded_loads = padded and value.storage == source.storage
    if by_channels:
        cuts = even(channels, tiles, CHANNELS)
        in_dist, out_dist = Dist(1, tuple(c * height * width for c in cuts)), Dist(height * real, cuts)
    else:
        cuts = even(height, tiles)
        in_dist = Dist(channels, tuple(c * width for c in cuts))
        per_row = target.elements // height
        out_dist = Dist(1, tuple(c * per_row for c in cuts))
    if len(cuts) < tiles:
        in_dist = out_dist = WHOLE
    in_bytes = in_dist.elements(0, value.elements) * value.bits // 8
    out_bytes = out_dist.elements(0, target.elements) * target.bits // 8
    units = {"columns": width // CHANNELS, "rows": max(cuts), "planes": channels}
    along_axis = "columns" if width > CHANNELS else "rows"
    slices = fit(hw, in_bytes, out_bytes, units[along_axis], ahead=False)
    if slices == units[along_axis] > 1 and not by_channels:
        along_axis = "planes"
        slices = fit(hw, in_bytes, out_bytes, channels, ahead=False)

    def works(tile: int, index: int) -> Iterable[Work]:
        if tile >= len(cuts) and not in_dist.whole:
            return
        share = cuts[0] if in_dist.whole else cuts[tile]
        depth = round_up(ceil_div(width, slices), CHANNELS) if along_axis == "columns" else width
        share = ceil_div(share, slices) if along_axis == "rows" else share
        planes_cut = ceil_div(channels, slices) if along_axis == "planes" else channels
        if by_channels:
            yield DpuWork("permute", share, height, depth, in_bits=value.bits, out_bits=target.bits)
        else:
            yield DpuWork("permute", planes_cut, share, depth, in_bits=value.bits, out_bits=target.bits)

    strategy = "to channels last" + (f", {channels} widened to {wide}" if wide != channels else "")
    plan = assemble(node, hw, [value], [in_dist], target, out_dist, slices, works, strategy)
    own_rows = tuple(rows * real for rows in even(planes[1], tiles)) if planes[1] > 1 else even(real, tiles)
    aligned = height == planes[1] or tuple(c * width for c in cuts) == own_rows
    if reader and fold and (reader == "halo" or padded_loads or not aligned):
        plan = replace(plan, out_dist=None)
    if padded_loads:
        plan = plan.changed(lambda part: _padded_loads(part, value, real, hw))
    return [*plans, plan]


def _rows_padded(
    node: Node, hw: Hardware, value: Value, fresh: Fresh, rows: int, width: int, widens: bool
) -> tuple[list[Plan], Value]:
    """Rows of whole granules: made by a convolution where the channels are widened too (``widens``), by copies, or the
    same storage, whose loads pad them."""
    if widens and padded_by_convolution(rows, width):
        plan, padded = plan_row_padding(node, hw, value, fresh, rows, width)
        return [plan], padded
    if hw.software.padding_copies:
        return _padded_rows(node, hw, value, fresh, rows, width)
    return [], replace(value, shape=(rows, round_up(width, CHANNELS)), order=())


def _padded_loads(part: Slice, value: Value, real: int, hw: Hardware) -> Slice:
    return replace(part, loads=[x for load in part.loads for x in _padded_load(load, value, real, hw)])


def _padded_load(load: Load, value: Value, real: int, hw: Hardware) -> list[Load]:
    """A load of padded rows as one of their ``real`` elements and one of the zeros behind them."""
    width = value.shape[-1]
    rows = load.cmx_bytes * 8 // value.bits // width
    own, zeros = rows * real, rows * (width - real)
    return [
        replace(load, work=load_value(value, own, hw), cmx_bytes=ceil_div(own * value.bits, 8)),
        Load(
            CONSTANT,
            load.tile,
            transfer("ddr", "cmx", zeros, value.bits, hw),
            ceil_div(zeros * value.bits, 8),
        ),
    ]


def _padded_rows(
    node: Node, hw: Hardware, value: Value, fresh: Fresh, rows: int, width: int
) -> tuple[list[Plan], Value]:
    """Copies in DDR that pad rows to a multiple of 16, and the padded value."""
    wide = round_up(width, CHANNELS)
    full = replace(fresh(value), shape=(rows, wide), order=())
    moves = [
        (0, transfer("ddr", "ddr", elements, value.bits, hw))
        for elements in (rows * (wide - width), rows * width)
    ]
    return [Plan(node, [value], [None], full, None, [], "rows padded in DDR", ddr_moves=moves)], full
