"""Plans of images whose pixels transfers put elsewhere: from channels, or between zeros."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import DepthToSpace, Upsample
from npusim.lowering.ir.plan import (
    CONSTANT,
    Load,
    Plan,
    Slice,
    Store,
    cmx_capacity,
    load_value,
    nth,
    odd_halves,
    store,
    transfer,
)
from npusim.lowering.ir.values import ceil_div, even, row_dist
from npusim.program.work import DmaWork, Work

#: Lines of pixels that one transfer spreads at most (the planes of its descriptor; npu_compiler,
#: unroll_upsample_dma.cpp), and by how much longer it takes than a copy of what it reads, as the estimator of 3720
#: charges a transfer of single pixels.
_LINES, _APART = 256, 1.725


def plan_depth_to_space(node: DepthToSpace, hw: Hardware) -> Plan:
    """Every tile spreads the channels of its rows within its CMX, each engine those of a part of them (npu_compiler,
    unroll_depth_to_space_dma.cpp); in slices of rows where what is read and made does not fit."""
    value, out = node.inputs[0], node.output
    height, row = value.shape[2], value.elements // value.shape[2]
    share = even(height, hw.tiles)
    line = row * (value.bits + out.bits) // 8
    lines = max(1, cmx_capacity(hw) // line)
    count = ceil_div(share[0], lines)
    parts = []
    for index in range(count):
        rows = [nth(even(own, count), index) for own in share]
        loads = [
            Load(0, t, load_value(value, n * row, hw), n * row * value.bits // 8)
            for t, n in enumerate(rows)
            if n
        ]
        spread: list[tuple[int, Work]] = [
            (t, DmaWork("cmx", "cmx", part * row * out.bits // 8, part * row * out.bits // 8))
            for t, n in enumerate(rows)
            for part in even(n, hw.dma.engines)
            if part
        ]
        stores = [store(t, n * row, out, hw) for t, n in enumerate(rows) if n]
        used = tuple(nth(tuple(rows), t) * row * out.bits // 8 for t in range(hw.tiles))
        parts.append(Slice(odd_halves(loads, hw), spread, odd_halves(stores, hw), used))
    lies = [row_dist(v, height, hw.tiles) for v in (value, out)]
    return Plan(node, [value], lies[:1], out, lies[1], parts, "channels spread over pixels in CMX")


def plan_upsample(node: Upsample, hw: Hardware) -> Plan:
    """Zeros into one tile's CMX, between which the pixels are loaded, and out; in slices where that does not fit. The
    first pixels are loaded beside the zeros, which they need not wait for."""
    value, out = node.inputs[0], node.output
    order = out.order or tuple(range(len(out.shape)))
    lines = value.elements // (value.shape[3] * (value.shape[1] if order[-1] == 1 else 1))
    line, made = value.elements // lines, out.elements // lines
    count = ceil_div(out.bytes, cmx_capacity(hw))
    parts = []
    for own in even(lines, count):
        size = own * made * out.bits // 8
        zeros = Load(CONSTANT, 0, DmaWork("ddr", "cmx", size, size), size)
        pieces = [own] if order[-1] == 1 else [min(_LINES, own - done) for done in range(0, own, _LINES)]
        works = [load_value(value, piece * line, hw) for piece in pieces]
        apart = [DmaWork("ddr", "cmx", w.bytes, round(w.counted_bytes * _APART), "resize") for w in works]
        later: list[tuple[int, Work]] = [(0, work) for work in apart[1:]]
        stores = [Store(0, transfer("cmx", "ddr", own * made, out.bits, hw))]
        used = (0,) * hw.tiles
        parts.append(Slice([zeros, Load(0, 0, apart[0], 0)], later, stores, used))
    return Plan(node, [value], [None], out, None, parts, "written between zeros by DMA")
