"""How a SHAVE kernel cuts its tensors: over the tiles, over the SHAVEs of a tile, and in slices that fit CMX.

Shapes are the output's four dimensions in memory order, and an operand's aligned with them (1 where it is broadcast).
The rules were read off evidence/lowering.md#2.4 and #3.2 and the public traces of 4000, 3720 and 5010.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from npusim.lowering.ir.shapes import H, Shape, W, as_shape, segments
from npusim.lowering.ir.values import WHOLE, Dist, along, ceil_div, even, round_up


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
                blocks = [as_shape(block)] * tiles
            else:
                again = self.slice_axis == self.axis and self.slices > 1
                cuts = segments(extent, len(self.cuts)) if again else self.cuts
                for cut in cuts:
                    block[self.axis] = cut
                    blocks.append(as_shape(block))
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
    return as_shape(changed)


def operand_part(part: Shape, operand: Shape, whole: Shape) -> int:
    """Elements of an operand that a part of the output needs."""
    return prod(p if o == s else o for p, o, s in zip(part, operand, whole, strict=True))
