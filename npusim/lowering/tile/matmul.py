"""How a MatMul is split over the tiles, and it or a convolution is cut into slices: what the compiler's own estimate
says costs least.

For each split (rows, or output channels) the compiler makes a few ways to cut: along channels and along rows the fewest
slices that fit CMX, and somewhat more, so that the transfers of one hide behind the computes of another. It adds up
what computing costs and what of the transfers is not hidden, and takes the least (evidence/lowering.md#3.2; open
compiler: tiling.cpp, multi_cluster_strategy_utils.cpp, output_pipeline_tiling.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from math import inf

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Product
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, round_up
from npusim.lowering.tile.matmul_estimate import NOTHING, Behind, Estimate
from npusim.lowering.tile.matmul_fit import Axis, Fit
from npusim.lowering.tile.slices import Cut

#: Slices that pipelining may add: so many times those that fit; again so many for large operands; and for results.
MORE_SLICES, MORE_FOR_LARGE, MORE_FOR_RESULTS = 3, 2, 10
#: Rows a tile, and channels, that slices along both axes leave at least where they are to overlap.
WIDE_ROWS, WIDE_CHANNELS = 8, 64


class _Itself:
    """A machine as the key of a cache: equal to itself alone, since comparing all its figures takes long."""

    def __init__(self, hw: Hardware) -> None:
        self.hw = hw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.hw is self.hw

    def __hash__(self) -> int:
        return id(self.hw)


class Tiler:
    """The choices for one MatMul, costs in µs."""

    def __init__(self, node: Product, hw: Hardware, whole: bool = True, behind: Behind = NOTHING) -> None:
        """``whole``: a split over channels writes its result to every tile; ``behind``: the op before."""
        self.hw, self.rules = hw, hw.software.tiling
        self.fit = Fit(node, hw, whole)
        self.estimate = Estimate(node, hw, self.fit, behind)
        self._found: dict[Axis, Cut | None] = {}

    @classmethod
    def of(cls, node: Product, hw: Hardware, whole: bool = True, behind: Behind = NOTHING) -> Tiler:
        """The same, one for all that ask for equal MatMuls: each is asked for by its neighbours too, and there are as
        many as layers."""
        inputs = tuple(replace(value, storage=0) for value in node.inputs)
        output = replace(node.output, storage=0)
        alike = replace(node, name="", type="", fused=(), inputs=inputs, output=output)
        return _tiler(alike, _Itself(hw), whole, behind)

    def choose(self, spilled_us: float = 0.0) -> Axis:
        """The split over tiles that is estimated to take less: rows if it is about the same. Channels take so much more
        as its neighbours, which lie in rows, have to go through DDR for them, µs."""

        def weighed_us(split: Axis) -> float:
            return self._estimate(split) + (spilled_us if split == "channels" else 0)

        return min(self._splits(), key=weighed_us, default="channels")

    def _splits(self) -> list[Axis]:
        splits: list[Axis] = []
        if self.fit.height >= self.hw.tiles:
            splits.append("rows")
        if self.fit.channels >= 2 * CHANNELS:
            splits.append("channels")
        return splits

    def weighed(self) -> dict[str, float]:
        """What is compared, in words, and the estimate of each, µs."""
        found = {}
        for split in self._splits():
            cut = self._cut(split)
            slices = "1 slice" if cut.slices == 1 else f"{cut.rows} x {cut.channels} slices (rows x channels)"
            found[f"{split} over the tiles in {slices}"] = self._estimate(split)
        return found

    def _estimate(self, split: Axis) -> float:
        whole = self.fit.fits(split, Cut())
        cut = Cut() if whole else self._best(split)
        if cut is None:
            return inf
        cost, spill_us = self.estimate.cost(split, cut), self.estimate.behind.spill_us
        if split == "rows":
            return cost
        moves = spill_us and self.without_results("rows") == Cut()  # slices of rows would load theirs
        return cost + spill_us if moves else cost * self.rules.rows_preference

    def cut(self, split: Axis) -> Cut:
        """The slices under a split, in their order."""
        cut = self._cut(split)
        return replace(cut, rows_first=self.fit.rows_first(cut))

    def _cut(self, split: Axis) -> Cut:
        cut = self.without_results(split)
        return cut if cut == Cut() or self._best(split) is None else self._overlap_results(split, cut)

    def without_results(self, split: Axis) -> Cut:
        """The slices under a split before more of them let results overlap, as the compiler has them where it fuses."""
        whole = self.fit.fits(split, Cut())
        if whole and not self.fit.large_weights(split):
            return Cut()
        best = self._best(split)
        if best is None:
            return Cut() if whole else Cut(self._most(split, "rows"), self._most(split, "channels"))
        return best

    # -- candidates ---------------------------------------------------------------------------------------------

    def _best(self, split: Axis) -> Cut | None:
        if split not in self._found:
            found = dict.fromkeys(self._candidates(split))
            self._found[split] = min(found, key=lambda cut: self.estimate.cost(split, cut), default=None)
        return self._found[split]

    def _candidates(self, split: Axis) -> Iterator[Cut]:
        axes: tuple[Axis, ...] = ("channels", "rows")
        alone = [cut for axis in axes if (cut := self._along(split, Cut(), axis)) is not None]
        if not alone:
            for first, second in (axes, axes[::-1]):
                cut = self._nested(split, first, second)
                alone += [] if cut is None else [cut]
        for cut in alone:
            more = self._pipelined(split, cut)
            yield from (one for one in (cut, more) if one is not None and one != Cut())

    def _most(self, split: Axis, axis: Axis, wide: bool = False, short: bool = False) -> int:
        """Most slices along an axis. ``wide``: such that leave much to do, ``short``: that fill the DPU's grid."""
        if axis == "rows":
            least = self.hw.tiles if split == "rows" else WIDE_ROWS if wide else 4
            height = self.fit.height
            return ceil_div(height, least) if short else max(1, height // self._least_rows(split))
        least = WIDE_CHANNELS if wide else CHANNELS
        if split == "rows":
            return max(1, self.fit.channels // least)
        tiles = self.hw.tiles
        if not wide:
            tiles = next((t for t in range(tiles, 1, -1) if self.fit.channels % (least * t) == 0), tiles)
        return max(1, self.fit.channels // (least * tiles))

    def _least_rows(self, split: Axis) -> int:
        return self.hw.tiles if split == "rows" else 1

    def _next(self, cut: Cut, axis: Axis) -> Cut:
        """One more slice along an axis; along channels so many that none is empty."""
        if axis == "rows":
            return Cut(cut.rows + 1, cut.channels)
        pieces = cut.channels + 1
        while pieces <= self.fit.channels // CHANNELS and self._last_channels(pieces) <= 0:
            pieces += 1
        return Cut(cut.rows, pieces)

    def _last_channels(self, pieces: int) -> int:
        return self.fit.channels - round_up(ceil_div(self.fit.channels, pieces), CHANNELS) * (pieces - 1)

    def _along(self, split: Axis, start: Cut, axis: Axis) -> Cut | None:
        """The fewest slices along one axis that fit."""
        most, cut = self._most(split, axis, short=True), start
        while getattr(cut, axis) <= most:
            if self.fit.fits(split, cut):
                return cut
            cut = self._next(cut, axis)
        return None

    def _nested(self, split: Axis, first: Axis, second: Axis) -> Cut | None:
        """Slices along both axes that fit: the fewest along the second where the first has the most, then fewer of
        the first."""
        most = self._most(split, first, short=True)
        start = Cut(rows=most) if first == "rows" else Cut(channels=most)
        cut = self._along(split, start, second)
        if cut is None:
            return None
        low = Cut(1, cut.channels) if first == "rows" else Cut(cut.rows, 1)
        while getattr(low, first) < getattr(cut, first) and not self.fit.fits(split, low):
            low = self._next(low, first)
        return low

    def _pipelined(self, split: Axis, cut: Cut) -> Cut | None:
        """Somewhat more slices, of which the inputs of one come while another computes."""
        if cut.rows > 1 and cut.channels > 1:
            return self._pipelined_both(split, cut) if self.rules.nested_overlap else None
        axis: Axis = "rows" if cut.rows > 1 else "channels"
        found = self._grow(
            split, cut, axis, MORE_SLICES * getattr(cut, axis), lambda c: self.fit.overlaps(split, c)
        )
        if found is None:
            return None
        larger = MORE_FOR_LARGE * getattr(found, axis)
        small = self._grow(
            split, found, axis, larger, lambda c: self.fit.small(split, c) and self.fit.overlaps(split, c)
        )
        return small or found

    def _pipelined_both(self, split: Axis, cut: Cut) -> Cut | None:
        inner: Axis = "channels" if self.fit.rows_first(cut) else "rows"
        outer: Axis = "rows" if inner == "channels" else "channels"
        rows, channels = (self._most(split, axis, wide=True, short=True) for axis in ("rows", "channels"))
        most = {
            axis: min(getattr(cut, axis) * MORE_SLICES, rows if axis == "rows" else channels)
            for axis in (inner, outer)
        }
        now = Cut(min(cut.rows, rows), min(cut.channels, channels))
        while True:
            while not self.fit.overlaps(split, now) and getattr(now, inner) < most[inner]:
                now = self._next(now, inner)
            if self.fit.overlaps(split, now):
                return now
            if getattr(now, outer) >= most[outer]:
                return None
            now = self._next(now, outer)

    def _grow(self, split: Axis, cut: Cut, axis: Axis, most: int, good: Callable[[Cut], bool]) -> Cut | None:
        """The fewest slices from those of ``cut`` on that are ``good``, up to ``most``."""
        limit = min(most, self._most(split, axis))
        while not good(cut):
            if getattr(cut, axis) >= limit:
                return None
            cut = self._next(cut, axis)
            if axis == "channels" and getattr(cut, axis) >= self._most(split, axis):
                return None
        return cut

    def _overlap_results(self, split: Axis, cut: Cut) -> Cut:
        """More slices, so that the result of one leaves while the next one computes, where that is estimated to pay."""
        if cut.rows > 1 and cut.channels > 1:
            return cut
        axis: Axis = "rows" if cut.rows > 1 else "channels"
        most = MORE_FOR_RESULTS * getattr(cut, axis)
        more = self._grow(split, cut, axis, most, partial(self.fit.overlaps, split, results=True))
        if more is None:
            return cut
        limit = self.rules.finer_tolerance * self.estimate.cost(split, cut)
        return more if self.estimate.cost(split, more) < limit else cut


@lru_cache(maxsize=64)
def _tiler(node: Product, machine: _Itself, whole: bool, behind: Behind) -> Tiler:
    return Tiler(node, machine.hw, whole, behind)
