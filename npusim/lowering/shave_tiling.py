"""How a SHAVE kernel cuts its tensors: over the tiles, over the SHAVEs of a tile, and in slices that fit CMX.

Shapes are the output's four dimensions in memory order, and an operand's aligned with them (1 where it is broadcast).
The rules were read off facts/vendor_lowering.md 2.4 and 3.2 and the public traces of 4000, 3720 and 5010.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from npusim.lowering.shave_kernels import (
    ACTIVATION_KERNELS,
    ROW_KERNELS,
    ROW_ONLY_KERNELS,
    SMALL,
    WIDE_KERNELS,
)
from npusim.lowering.values import WHOLE, Dist, Value, along, ceil_div, even, round_up

Shape = tuple[int, int, int, int]
N, C, H, W = range(4)

#: Elements of one granule of a flat vector.
FLAT_GRANULE = 16
#: How many times its fair share one tile may get before the tiles share another axis. The vendor's schedules have cuts
#: up to 1.5 times uneven (4 channels on 3 tiles); that there is a bound is a guess: it compares costs.
UNEVEN = 1.5


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


def four(output: Value, inputs: list[Value]) -> tuple[Shape, list[Shape | None]]:
    """The output's shape in memory order as NCHW with N = 1, and the operands' shapes aligned with it.

    Neighbouring dimensions are merged where every operand has them all or none of them; of four, only the first two or
    the last two (Mul_6 of mamba2 on 3720, [256,256,24,64], keeps its batch of 256; Mul_4 and Mul_8 lose theirs).
    An operand
    that can't be aligned (None) is read whole.
    """
    order = output.order or tuple(range(len(output.shape)))
    shape = [output.shape[d] for d in order]
    aligned: list[list[int] | None] = []
    for value in inputs:
        pairs = zip(value.shape, output.shape, strict=False)
        if len(value.shape) == len(shape) and all(v in (1, o) or o == 1 for v, o in pairs):
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
    return _shape(shape), [None if a is None else _shape(a) for a in aligned]


def _shape(row: list[int]) -> Shape:
    n, c, h, w = row
    return n, c, h, w


def _alike(row: list[int], shape: list[int], i: int) -> bool:
    """Whether an operand has both of two neighbouring dimensions, or neither."""
    return row[i : i + 2] == shape[i : i + 2] or row[i] == row[i + 1] == 1


@dataclass(frozen=True, slots=True)
class Part:
    """A tile's part of one slice, and its pieces for the SHAVEs (a flat piece is [1, 1, 1, elements])."""

    block: Shape
    pieces: tuple[Shape, ...]

    @property
    def elements(self) -> int:
        """Elements of the output."""
        return prod(self.block)


@dataclass(frozen=True, slots=True)
class Tiling:
    """One kernel's cuts. ``axis`` is that of the tiles (None: a flat vector cut in ``cuts`` elements, or nothing cut
    where ``cuts`` is empty), ``shave_axis`` that of the SHAVEs of a tile (None: flat), ``slice_axis`` that of
    ``slices`` pieces. ``shaves`` is 1 where a tile's part is not cut again; ``lines`` lets the SHAVEs share a tile's
    rows, whatever dimensions they come from (softmax of 12x128 rows on 4 tiles: 192 a SHAVE). ``locked`` is the axis
    that the kernel runs along. The first SHAVE's piece is whole ``granule`` elements, and ``alike`` on all tiles."""

    shape: Shape
    axis: int | None
    cuts: tuple[int, ...]
    shave_axis: int | None
    shaves: int
    lines: bool = False
    locked: int | None = None
    slice_axis: int = H
    slices: int = 1
    granule: int = 1
    alike: bool = True

    @property
    def dist(self) -> Dist:
        """How the output lies over the tiles."""
        if not self.cuts:
            return WHOLE
        return Dist(1, self.cuts) if self.axis is None else along(self.shape, self.axis, self.cuts)

    def parts(self, tiles: int) -> list[list[Part]]:
        """The output's parts by slice and tile."""
        return [self._slice(extent, tiles) for extent in even(self.extent(), self.slices)]

    def largest(self, tiles: int) -> list[Part]:
        """The parts of the first slice, than which none is larger, by tile."""
        return self._slice(ceil_div(self.extent(), self.slices), tiles)

    def extent(self) -> int:
        """What the slices share."""
        return self.shape[self.slice_axis] if self.axis is not None or not self.cuts else prod(self.shape)

    def _slice(self, extent: int, tiles: int) -> list[Part]:
        if self.axis is None and self.cuts:
            cuts = self.cuts if self.slices == 1 else segments(extent, len(self.cuts))
            blocks: list[Shape] = [(1, 1, 1, c) for c in cuts]
        else:
            block = [*self.shape]
            block[self.slice_axis] = extent
            blocks = []
            if self.axis is None:
                blocks = [_shape(block)] * tiles
            else:
                again = self.slice_axis == self.axis and self.slices > 1
                cuts = segments(extent, len(self.cuts)) if again else self.cuts
                for cut in cuts:
                    block[self.axis] = cut
                    blocks.append(_shape(block))
        first = self._first_piece(blocks)
        return [Part(block, self._pieces(block, first)) for block in blocks]

    def _seen(self, block: Shape) -> tuple[Shape, int]:
        """A tile's part as its SHAVEs see it, and the axis that they share."""
        if self.lines:
            return (1, 1, prod(block[:W]), block[W]), H
        if self.shave_axis is None:
            return (1, 1, 1, prod(block)), W
        return block, self.shave_axis

    def _first_piece(self, blocks: list[Shape]) -> int:
        """The share of a tile's first SHAVE: half of the largest part, or of the smallest one where that would leave
        the second SHAVE of a tile without work (42 and 21 elements: 16 and 26, 16 and 5)."""
        parts = [(seen, axis) for seen, axis in map(self._seen, blocks) if prod(seen)]
        shares = sorted({self._share(seen, axis) for seen, axis in parts}, reverse=True)
        least = min((seen[axis] for seen, axis in parts), default=0)
        return next((share for share in shares if share < least), shares[-1] if shares else 0)

    def _share(self, seen: Shape, axis: int) -> int:
        half = ceil_div(seen[axis], self.shaves)
        stride = prod(seen[axis + 1 :])
        granule = self.granule // gcd(self.granule, stride)
        return round_up(half, granule) if granule < seen[axis] else half

    def _pieces(self, block: Shape, first: int) -> tuple[Shape, ...]:
        """A tile's part over its SHAVEs."""
        if self.shaves == 1:
            return (block,)
        seen, axis = self._seen(block)
        if not prod(seen):
            return ()
        chunk = min(first if self.alike else self._share(seen, axis), seen[axis])
        sizes = [chunk] * (self.shaves - 1)
        return tuple(_with(seen, axis, n) for n in (*sizes, seen[axis] - sum(sizes)) if n > 0)


def _with(shape: Shape, axis: int, extent: int) -> Shape:
    changed = [*shape]
    changed[axis] = extent
    return _shape(changed)


def operand_part(part: Shape, operand: Shape, whole: Shape) -> int:
    """Elements of an operand that a part of the output needs."""
    return prod(p if o == s else o for p, o, s in zip(part, operand, whole, strict=True))


def tile_axis(shape: Shape, kernel: str, tiles: int, shaves: int, locked: int | None) -> int | None:
    """The axis that the tiles share, if one has an index for each of them.

    Kernels with a known cost take H, then C; the others C, then H, or a later axis if C is neither long enough for all
    SHAVEs nor evenly shared (5 or 6 channels on 4 tiles), or W. A kernel along an axis takes another one, the more even
    (softmax of 8 heads on 6 tiles: 1, 1, 1, 1, 1 and 3 of them, or 171 or 170 rows); a softmax may be cut over W too
    (``SoftMaxOp::checkStrategyCompatibility`` of Intel's compiler), a running sum is not (cumsum_*_ax2)."""
    if locked is None:
        return next((d for d in _order(shape, kernel, tiles, shaves) if _enough(shape, d, tiles)), None)
    if locked == C:
        prefer = (H, W)
    elif locked == H and kernel in ("softmax", "logsoftmax"):
        prefer = (C, W)
    else:
        prefer = (C, H)
    found = [d for d in prefer if d != locked and shape[d] >= tiles]
    even = [d for d in found if max(segments(shape[d], tiles)) * tiles <= UNEVEN * shape[d]]
    return next(iter((*even, *found)), None)


def _order(shape: Shape, kernel: str, tiles: int, shaves: int) -> list[int]:
    """The axes over which an elementwise kernel may be cut, the one that the compiler tries first in front."""
    if kernel in ROW_KERNELS:
        return [H] if kernel in ROW_ONLY_KERNELS else [H, C]
    order = [C, H] if shape[C] > 1 else [H, C]
    if kernel in WIDE_KERNELS:
        order.append(W)
    outermost, threads = shape[order[0]], tiles * shaves
    small = (
        kernel == "sigmoid" and prod(shape) < SMALL[kernel] * tiles * tiles
    )  # divided twice, as the compiler does
    if outermost < threads and outermost % tiles and not small:
        later = [d for d in order if d > order[0] and shape[d] >= threads]
        order = [*later[:1], *(d for d in order if d not in later[:1])]
    return order


def _enough(shape: Shape, axis: int, tiles: int) -> bool:
    return shape[axis] > FLAT_GRANULE * tiles if axis == W else shape[axis] >= tiles


def shave_axis(
    shape: Shape, kernel: str, locked: int | None, axis: int | None, cuts: tuple[int, ...]
) -> int | None:
    """The axis that the SHAVEs of a tile share: that of the tiles, or the outermost one, for activations and where
    nothing or C is cut, if a tile's second SHAVE then begins at one offset on all tiles."""
    outermost = next((d for d in (C, H, W) if d != locked and shape[d] > 1), None)
    if axis is None or outermost is None:
        return outermost
    one_offset = axis <= outermost or len(set(cuts)) == 1
    wanted = kernel in ACTIVATION_KERNELS or axis == C or locked is not None
    return outermost if wanted and one_offset else axis


def find_axis(shape: Shape, dist: Dist) -> tuple[int, tuple[int, ...]] | None:
    """The axis along which a Dist cuts a shape, with the cuts in its indices."""
    for axis in range(4):
        inner = prod(shape[axis + 1 :])
        fits = prod(shape[:axis]) == dist.outer and shape[axis] > 1 and sum(dist.cuts) == shape[axis] * inner
        if fits and all(c % inner == 0 for c in dist.cuts):
            return axis, tuple(c // inner for c in dist.cuts)
    return None
