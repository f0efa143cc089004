"""In how many slices a SHAVE kernel runs so that its operands and result fit CMX."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.kernels import ShaveKernel
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import C, H, N, Shape, W, segments
from npusim.lowering.ir.tiling import Part, Tiling, operand_part
from npusim.lowering.ir.values import Value, ceil_div

#: How many times its fair share of a slice one tile may get: 1.33 is taken, 1.5 refused.
UNEVEN_SLICES = 1.4


def slice_to_fit(
    tiling: Tiling,
    kernel: ShaveKernel,
    operands: list[tuple[Value, Shape | None]],
    output: Value,
    hw: Hardware,
    room: float = 1.0,
) -> Tiling:
    """The tiling in as few slices as fit CMX (evidence/lowering.md#3.2): one whose operands and result fit beside each
    other, or, for kernels that the compiler pipelines, slices of which two fit; of rows, where they may take a part of
    CMX only (``room``)."""
    capacity = int(room * cmx_capacity(hw))
    pipelined = kernel.name in hw.software.pipelined_kernels
    if _footprint(tiling, kernel, operands, output, hw.tiles, True) <= capacity:
        return tiling
    axes = _slice_axes(tiling, kernel, pipelined) if room == 1 else [H]
    flat = tiling.axis is None and bool(tiling.cuts)
    if flat:
        least = replace(tiling, slice_axis=axes[0], slices=prod(tiling.shape))
        if _footprint(least, kernel, operands, output, hw.tiles, True) > capacity:
            return tiling  # what is read whole is too large by itself: `refit` cuts all operands alike
        pipelined &= 2 * _footprint(least, kernel, operands, output, hw.tiles, False) <= capacity
    for even in (True, False):
        for sliced in (replace(tiling, slice_axis=axis) for axis in axes[: 1 if flat else None]):
            for count in range(2, sliced.extent() + 1):
                tried = replace(sliced, slices=count)
                if sliced.slice_axis == sliced.axis and sliced.extent() // count < len(sliced.cuts):
                    break  # a tile would have nothing to do
                if even and not _even(tried, kernel):
                    continue
                if _footprint(tried, kernel, operands, output, hw.tiles, True) > capacity:
                    continue
                if pipelined and 2 * _footprint(tried, kernel, operands, output, hw.tiles, False) > capacity:
                    continue
                return tried
    first = replace(tiling, slice_axis=axes[0])
    return replace(first, slices=max(first.extent(), 1))


def _slice_axes(tiling: Tiling, kernel: ShaveKernel, pipelined: bool) -> list[int]:
    """The axes along which a kernel may be sliced, that of the compiler first."""
    if tiling.slice_axis == N or tiling.shape[N] > 1:
        return [tiling.slice_axis]
    first, last = (C, H) if kernel.outer_slices and not pipelined else (H, C)
    order = (first, last) if tiling.lines else (first, W, last)
    return [d for d in order if tiling.shape[d] > 1 and d != tiling.locked] or [H]


def _even(tiling: Tiling, kernel: ShaveKernel) -> bool:
    """Slices of the sizes that a kernel wants; where none of those fit, it takes others."""
    if kernel.slices == "balanced":
        return _balanced(tiling)
    return kernel.slices != "equal" or tiling.slice_axis != tiling.axis or _alike(tiling)


def _alike(tiling: Tiling) -> bool:
    """Equal slices along the axis of the tiles that are not much less even over them (16 heads of 384 x 384 on 3720: 4
    slices, 3 would fit; 12 on 4 tiles: slices of 6; 16 on 6 tiles: not of 8, but of half the rows)."""
    extent, rest = divmod(tiling.extent(), tiling.slices)
    tiles = len(tiling.cuts)
    return not rest and max(segments(extent, tiles)) * tiles <= UNEVEN_SLICES * extent


def _balanced(tiling: Tiling) -> bool:
    """Slices along the axis of the SHAVEs that give each the same."""
    if tiling.slice_axis not in (tiling.shave_axis, tiling.axis):
        return True
    tiles = len(tiling.cuts) if tiling.axis == tiling.slice_axis else 1
    shaves = tiling.shaves if tiling.shave_axis == tiling.slice_axis else 1
    return tiling.shape[tiling.slice_axis] % (tiling.slices * tiles * shaves) == 0


def _footprint(
    tiling: Tiling,
    kernel: ShaveKernel,
    operands: list[tuple[Value, Shape | None]],
    output: Value,
    tiles: int,
    full: bool,
) -> int:
    """CMX bytes of the largest slice on the fullest tile; ``full`` counts broadcast operands as the compiler does."""
    part = max(tiling.largest(tiles), key=lambda p: p.elements)
    size = ceil_div(part.elements * output.bits, 8)
    for value, shape in operands:
        needed = needed_elements(value, shape, part, tiling, kernel.windows)
        if full and kernel.full_operands:
            needed = max(needed, part.elements)
        size += ceil_div(needed * value.bits, 8)
    return size


def needed_elements(
    value: Value, shape: Shape | None, part: Part, tiling: Tiling, windows: bool = False
) -> int:
    """Elements of an operand that a tile needs; where ``windows`` slide over it, its share of them."""
    if value.elements == prod(tiling.shape):
        return part.elements
    if windows:
        return ceil_div(value.elements * part.elements, prod(tiling.shape))
    if shape is None or (tiling.axis is None and tiling.cuts):
        return value.elements
    return operand_part(part.block, shape, tiling.shape)
