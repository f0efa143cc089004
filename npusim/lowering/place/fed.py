"""How MatMuls and the scales before them share the tiles, as the compiler weighs their splits: with the spills between
two layers (npu_compiler: subgraph_optimizer.cpp)."""

from __future__ import annotations

from dataclasses import replace

from npusim.lowering.ir.convolution import geometry
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.nodes import Concat, Conv, Scale, Transpose
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import even, round_up, row_dist
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.scaled_rows import over_channels, scales_rows
from npusim.lowering.split.dpu import choose
from npusim.lowering.tile.matmul_estimate import NOTHING, Behind


def fed(node: Conv, near: Neighbours) -> Behind:
    """The op just before a MatMul, and what it makes channels cost more than rows, if nobody else reads what it
    makes."""
    source, hw = node.inputs[0], near.hw
    behind = near.behind(source)
    alone = len(near.read_by(source)) == 1
    if not hw.software.tiling.spills_weighed or not alone or not _finds_rows(node, near):
        return behind
    hint = near.hint(source)
    return replace(behind, spill_us=_spill_us(node, near, hint is not None and hint.whole))


def _finds_rows(node: Conv, near: Neighbours) -> bool:
    """Whether the compiler takes it that a MatMul over rows finds those in CMX: what is cut alike, or lies on every
    tile, and what transfers have put in order (heads beside each other), which no op need write. Not on 3720, where an
    op before it has written channels to each tile's own CMX alone. A scale over channels, or of rows that are not
    shared evenly, goes with the channels of the MatMul."""
    source, hw = node.inputs[0], near.hw
    hint, maker = near.hint(source), near.makers.get(source.storage)
    height, width = geometry(node, hw)
    rows = row_dist(source, height, hw.tiles)
    if isinstance(maker, Concat | Transpose):
        return hw.software.broadcast_output
    if height * width != node.m or hint is None or not (hint.whole or hint == rows):
        return False
    if isinstance(maker, Scale) and scales_rows(maker, hw):
        return height % hw.tiles == 0 and not scaled_over_channels(maker, near)
    return not isinstance(maker, Conv) or not hint.whole or hw.software.broadcast_output


def scaled_over_channels(node: Scale, near: Neighbours) -> bool:
    """Whether a scale of rows is cut over channels. One of normalised rows, which lie in rows, is not where MatMuls
    alone read it that take rows if it does."""
    maker, readers = near.makers.get(node.inputs[0].storage), near.read_by(node.output)
    if not over_channels(node, near.hw, maker is not None):
        return False
    if maker is None or not maker.runs("mvn") or not near.hw.software.tiling.spills_weighed:
        return True
    return not readers or not all(isinstance(n, Conv) and _takes_rows(n, near) for n in readers)


def _takes_rows(node: Conv, near: Neighbours) -> bool:
    """Whether a MatMul is cut over rows where its activation is."""
    if node.window is not None:
        return False
    behind = replace(NOTHING, spill_us=_spill_us(node, near, whole=False))
    return choose(node, near.hw, rows_before=True, behind=behind) == "rows"


def _spill_us(node: Conv, near: Neighbours, whole: bool) -> float:
    """How much more channels cost a MatMul than the estimate of it alone says, where what it reads is in CMX, µs: that
    is counted as written to DDR, by rows or ``whole``, and read again, also where it is not in the end; and rows do not
    load theirs."""
    height, width = geometry(node, near.hw)
    row = width * round_up(node.k, CHANNELS) * node.inputs[0].bits // 8
    shares = [rows * row for rows in even(height, near.hw.tiles)]
    return moves_us([sum(shares)] if whole else shares, near.hw) + moves_us(shares, near.hw)
