"""Shapes of four dimensions, as the compiler sees every tensor, and extents cut into parts."""

from __future__ import annotations

from itertools import zip_longest

from npusim.costs.dpu import CELL_CHANNELS
from npusim.lowering.ir.values import Value, ceil_div, even, round_up

Shape = tuple[int, int, int, int]


N, C, H, W = range(4)
#: Elements of one granule of a flat vector.
FLAT_GRANULE = 16
#: Channels that the DPU works on at once; output and input channels are padded to it.
CHANNELS = CELL_CHANNELS
#: Largest dimension of a DPU tensor (evidence/hardware.md#1).
MAX_DIMENSION = 8192
#: Most rows or columns of a window of the DPU, and most of them from one to the next (the same).
MAX_KERNEL, MAX_STRIDE = 11, 8


def pooling_kernels(length: int, most: int = MAX_KERNEL) -> list[int]:
    """Kernels of a pooling chain that reduces ``length``: as long as more than ``most`` are left, the largest divisor
    up to the longest stride, 8 (100: 5, 5 and 4); of the next larger length that has one, where at most half a kernel
    is padding (``handle_kernels_utils.cpp`` of Intel's compiler)."""
    kernels: list[int] = []
    while length > most:
        k, length = next(
            (k, length + padding)
            for padding in range(length)
            for k in range(MAX_STRIDE, 1, -1)
            if (length + padding) % k == 0 and padding <= k // 2
        )
        kernels.append(k)
        length //= k
    return [*kernels, length] if length > 1 else kernels


def pooling_windows(height: int, width: int, most: int) -> list[tuple[int, int]]:
    """Windows of a pooling chain that reduces an image both ways."""
    return list(zip_longest(pooling_kernels(height, most), pooling_kernels(width, most), fillvalue=1))


def segments(total: int, parts: int, granule: int = 1) -> tuple[int, ...]:
    """``total`` cut in ``parts`` as even as whole granules allow: the larger first (256 on 3: 86, 85, 85), or last
    where parts of the largest size would leave a tile without work (4 on 3: 1, 1, 2; 6 on 4: 1, 1, 2, 2; 80 in 16s
    on 4: 16, 16, 16, 32)."""
    cuts = even(total, parts, granule)
    if round_up(ceil_div(total, parts), granule) * (parts - 1) >= total:
        return tuple(reversed((*cuts, *(0,) * (parts - len(cuts)))))
    return cuts


def filled(total: int, parts: int, granule: int) -> tuple[int, ...]:
    """``total`` in equal parts of whole granules and a shorter last one (softmax of 256 rows on 3: 96, 96, 64)."""
    size = round_up(ceil_div(total, parts), granule)
    if size * (parts - 1) >= total:
        return segments(total, parts)
    return (size,) * (parts - 1) + (total - size * (parts - 1),)


def four(output: Value, inputs: list[Value], along: int | None = None) -> tuple[Shape, list[Shape | None]]:
    """The output's shape in memory order as NCHW with N = 1, and the operands' shapes aligned with it.

    Neighbouring dimensions are merged where every operand has them all or none of them; of four, only the first two or
    the last two (Mul_6 of mamba2 on 3720, [256,256,24,64], keeps its batch of 256; Mul_4 and Mul_8 lose theirs).
    An operand
    that can't be aligned (None) is read whole; along the axis ``along`` it may be longer or shorter than the output.
    """
    order = output.order or tuple(range(len(output.shape)))
    shape = [output.shape[d] for d in order]
    aligned: list[list[int] | None] = []
    for value in inputs:
        pairs = enumerate(zip(value.shape, output.shape, strict=False))
        if len(value.shape) == len(shape) and all(v in (1, o) or o == 1 or d == along for d, (v, o) in pairs):
            aligned.append([value.shape[d] for d in order])
        elif value.elements == output.elements:
            aligned.append(list(shape))
        elif len(value.shape) < len(shape) and not output.order:
            padded = [1] * (len(shape) - len(value.shape)) + list(value.shape)
            aligned.append(padded if all(p in (1, s) for p, s in zip(padded, shape, strict=True)) else None)
        else:
            aligned.append(None)
    rows = [shape, *(a for a in aligned if a is not None)]
    if len(shape) > 4:
        keep = [i for i, s in enumerate(shape) if s != 1]
        for row in rows:
            row[:] = [row[i] for i in keep]
    while len(shape) > 3 and not (len(shape) == 4 and shape[0] == 1):
        places = range(len(shape) - 1) if len(shape) > 4 else (0, len(shape) - 2)
        pair = next((i for i in places if all(_alike(row, shape, i) for row in rows)), None)
        if pair is None:
            if len(shape) <= 4:
                break
            aligned = [a if a is None or a == shape else None for a in aligned]
            rows = [shape, *(a for a in aligned if a is not None)]
            continue
        for row in rows:
            row[pair : pair + 2] = [row[pair] * row[pair + 1]]
    for row in rows:
        row[:] = [1] * (4 - len(row)) + row
    return as_shape(shape), [None if a is None else as_shape(a) for a in aligned]


def as_shape(row: list[int]) -> Shape:
    """Four extents as a Shape."""
    n, c, h, w = row
    return n, c, h, w


def _alike(row: list[int], shape: list[int], i: int) -> bool:
    """Whether an operand has both of two neighbouring dimensions, or neither."""
    return row[i : i + 2] == shape[i : i + 2] or row[i] == row[i + 1] == 1
