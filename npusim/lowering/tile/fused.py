"""A MatMul and the SHAVE kernel that alone reads it, cut together or not (vertical fusion): what the compiler's own
estimate says costs less.

Cut together, the DPU computes one slice while the SHAVEs work on the slice before and the transfers of the next one
come; every slice loads all of its operands. A MatMul that is cut along its channels anyway keeps those slices if CMX
takes two of them, since the compiler's search along channels finds no others; else it is cut along rows into the
fewest slices of which CMX takes two. One of which all fits twice is left as it is (open compiler:
vertical_fusion_algorithm.cpp, pipelining_vf_scheduling.cpp; evidence/lowering.md#4.3).
"""

from __future__ import annotations

from npusim.lowering.ir.convolution import TABLE_BYTES
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, even
from npusim.lowering.tile.matmul import Tiler
from npusim.lowering.tile.matmul_fit import Axis
from npusim.lowering.tile.slices import Cut

#: Share of CMX that an op and its copy for the next slice may take: 0.892 is taken, 0.895 refused (4000).
TWICE_SHARE = 0.894
#: Share that the operands of a slice may take beside the kernel of the slice before (C26: fragmentation-aware size).
BESIDE_SHARE = 0.9
#: Rows of a tile that slices leave at least (C26: minimum length of tiling).
LEAST_ROWS = 4


def cut_together(tiler: Tiler, split: Axis, read_us: float = 0.0) -> Cut | None:
    """The slices of a MatMul that a kernel is cut with, None if each is cut by itself. ``tiler``: its choices where
    each tile keeps its own channels; ``read_us``: what it takes the readers of the kernel's result to load it."""
    own, fit = tiler.without_results(split), tiler.fit
    twice = _fits_twice(tiler, split, own)
    if twice or own.rows > 1:
        return own if twice and own.slices > 1 else None
    apart_us = tiler.estimate.cost(split, own) + _kernel_us(tiler, fit.height, fit.channels)
    found = []
    if own.slices > 1:
        apart_us += 2 * _stored_us(tiler, split, fit.height, fit.channels)  # to the kernel by way of DDR
        if _fits_beside(tiler, split, own):
            found.append((_in_turn_us(tiler, split, own), own))
    most = fit.height // (LEAST_ROWS * (tiler.hw.tiles if split == "rows" else 1))
    rows = next((n for n in range(2, most + 1) if _fits_twice(tiler, split, Cut(rows=n))), None)
    if rows is not None:
        again_us = tiler.rules.read_again * read_us if split == "channels" else 0.0
        found.append((_overlapped_us(tiler, split, Cut(rows=rows)) + again_us, Cut(rows=rows)))
    best_us, best = min(found, default=(apart_us, None), key=lambda one: one[0])
    return best if best_us <= apart_us else None


def _fits_twice(tiler: Tiler, split: Axis, cut: Cut) -> bool:
    """Whether CMX takes the MatMul of two slices, and the kernel of two."""
    inputs, out = _bytes(tiler, split, cut)
    return 2 * max(inputs + out, 2 * out) <= TWICE_SHARE * tiler.fit.capacity


def _fits_beside(tiler: Tiler, split: Axis, cut: Cut) -> bool:
    """Whether CMX takes the operands of a slice beside the kernel of the one before."""
    inputs, out = _bytes(tiler, split, cut)
    return inputs + 2 * out <= BESIDE_SHARE * tiler.fit.capacity


def _bytes(tiler: Tiler, split: Axis, cut: Cut) -> tuple[int, int]:
    """What a tile holds of the largest slice of a MatMul: its operands, and its result."""
    rows, channels = (most[0] for most in tiler.fit.extents(cut))
    act, weights, out = tiler.fit.bytes(split, rows, channels)
    table = TABLE_BYTES * (channels if split == "rows" else ceil_div(channels, tiler.hw.tiles))
    return act + weights + table, out


def _kernel_us(tiler: Tiler, rows: int, channels: int) -> float:
    """What the compiler takes for the time of a kernel whose cost it does not know: a cycle for each byte of a tile."""
    hw = tiler.hw
    return rows * channels * tiler.fit.out_bytes / hw.tiles / hw.clocks.dpu_mhz


def _stored_us(tiler: Tiler, split: Axis, rows: int, channels: int) -> float:
    """The transfers of what the kernel makes of a slice, a part from each tile."""
    hw, unit = tiler.hw, tiler.fit.out_bytes
    if split == "rows":
        return moves_us([share * channels * unit for share in even(rows, hw.tiles) if share], hw)
    return moves_us([own * rows * unit for own in even(channels, hw.tiles, CHANNELS)], hw)


def _overlapped_us(tiler: Tiler, split: Axis, cut: Cut) -> float:
    """How long all slices take where transfers, the DPU and the SHAVEs work on different ones."""
    moved = computed = worked = stored_us = 0.0
    for rows, channels in tiler.fit.slices(cut):
        act, weights, _ = tiler.estimate.transfers(split, rows, channels)
        moved += act + weights
        computed = max(computed, moved) + tiler.estimate.computes(split, rows, channels)
        worked = max(worked, computed) + _kernel_us(tiler, rows, channels)
        stored_us = _stored_us(tiler, split, rows, channels)
    return worked + stored_us


def _in_turn_us(tiler: Tiler, split: Axis, cut: Cut) -> float:
    """How long all slices take one after the other, of which only the operands come while the kernel of the slice
    before works."""
    total = hidden = 0.0
    for rows, channels in tiler.fit.slices(cut):
        act, weights, _ = tiler.estimate.transfers(split, rows, channels)
        kernel_us = _kernel_us(tiler, rows, channels)
        total += max(0.0, act + weights - hidden) + tiler.estimate.computes(split, rows, channels) + kernel_us
        total += _stored_us(tiler, split, rows, channels)
        hidden = kernel_us
    return total
