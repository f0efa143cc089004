"""Which MatMuls are cut over their terms because slices along rows and channels would load too much again."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.values import Value
from npusim.lowering.tile.matmul import Tiler


def pieces(hw: Hardware, rows: int, terms: int, channels: int) -> int:
    """Products that a MatMul by constants becomes, each over a part of its terms. One, unless it is sliced along both
    axes and no two slices overlap: then one operand is loaded again for every slice of the shorter axis, and where that
    is more than writing and reading a result for each, as many products are added up as that axis has slices
    (``convolution_split_over_input_channel.cpp``, 2026)."""
    if hw.software.tiling.sums_overlap:
        return 1
    act, weights = Value(0, (rows, terms)), Value(1, (channels, terms), constant=True)
    node = Conv("", "MatMul", (act, weights), Value(2, (rows, channels)), m=rows, n=channels, k=terms)
    tiler = Tiler.of(node, hw)
    split = tiler.choose()
    cut = tiler.cut(split)
    count = min(cut.rows, cut.channels)
    if count == 1 or tiler.fit.overlaps(split, cut):
        return 1
    again = (weights if cut.rows < cut.channels else act).bytes * (count - 1)
    return count if again >= 2 * count * node.output.bytes else 1
