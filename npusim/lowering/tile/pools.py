"""Slices of a pool: the fewest along one dimension that fit, then those of which one loads while another computes
(npu_compiler: core/tiling.cpp and nce_invariant.cpp, 2024; tiling_constraint_utils.cpp, 2026)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.moves import moves_us
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, even
from npusim.lowering.tile.matmul import MORE_FOR_LARGE, MORE_SLICES

#: Share of CMX that a slice may take with what the next one reads.
PIPELINED = 0.85
#: Least columns of a slice.
LEAST_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """Into how many slices an image is cut along its height, width and channels."""

    height: int = 1
    width: int = 1
    channels: int = 1

    @property
    def slices(self) -> int:
        """All of them."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, slots=True)
class PoolSlices:
    """What a pool of ``height`` rows, which the tiles share, of ``width`` columns of ``channels`` reads and writes, of
    ``bits`` an element. ``compute_us``: what a tile takes for so many rows, columns and channels."""

    height: int
    width: int
    channels: int
    bits: int
    compute_us: Callable[[int, int, int], float]

    def choose(self, hw: Hardware) -> Counts:
        """The counts that the compiler estimates to be cheapest, the outermost dimension of equal ones."""
        if 2 * self._bytes(self.height, self.width, self.channels, hw) <= cmx_capacity(hw):
            return Counts()
        found = [counts for axis in ("height", "width", "channels") if (counts := self._along(axis, hw))]
        return min(found, key=lambda counts: round(self._cost(counts, hw), 3), default=Counts(self.height))

    def _along(self, axis: str, hw: Hardware) -> Counts | None:
        """The count along one dimension, if there is one that fits."""
        most = {"height": ceil_div(self.height, hw.tiles), "width": self.width // LEAST_COLUMNS}
        limit = most.get(axis, self.channels // CHANNELS)
        room = cmx_capacity(hw)

        def candidates(first: int, last: int) -> Iterator[int]:
            return (
                n for n in range(first, min(last, limit) + 1) if axis != "channels" or self.channels % n == 0
            )

        def taken(n: int) -> int:
            return self._bytes(*self._largest(Counts(**{axis: n})), hw)

        alone = next((n for n in candidates(2, limit) if 2 * taken(n) <= room), None)
        if alone is None:
            return None
        more = candidates(alone, MORE_SLICES * alone)
        pipelined = next((n for n in more if 3 * taken(n) <= PIPELINED * room), None)
        if pipelined is None:
            return Counts(**{axis: alone})
        large = hw.software.tiling.large_pools * room
        small = (n for n in candidates(pipelined, MORE_FOR_LARGE * pipelined) if taken(n) < large)
        return Counts(**{axis: next(small, pipelined)})

    def _largest(self, counts: Counts) -> tuple[int, int, int]:
        """Rows, columns and channels of the first slice."""
        deep = ceil_div(ceil_div(self.channels, counts.channels), CHANNELS) * CHANNELS
        return ceil_div(self.height, counts.height), ceil_div(self.width, counts.width), deep

    def _bytes(self, rows: int, columns: int, channels: int, hw: Hardware) -> int:
        """What a tile reads of so many rows."""
        return ceil_div(rows, hw.tiles) * columns * channels * self.bits // 8

    def _cost(self, counts: Counts, hw: Hardware) -> float:
        """Reading or computing, whichever is longer, and writing, µs; short lines move more slowly."""
        _, _, deep = self._largest(counts)
        line = hw.software.tiling.short_line_bytes / (deep * self.bits / 8)
        factor = max(1.0, line) if counts.channels > 1 else 1.0
        total = 0.0
        for rows in even(self.height, counts.height):
            for columns in even(self.width, counts.width):
                shares = [own * columns * deep * self.bits // 8 for own in even(rows, hw.tiles)]
                moved = factor * moves_us(shares, hw)
                computed = self.compute_us(ceil_div(rows, hw.tiles), columns, deep)
                total += counts.channels * (max(moved, computed) + moved)
        return total
