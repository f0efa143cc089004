"""How a MatMul is split over the tiles and cut into slices: what the compiler's own estimate says costs least.

For each split (rows, or output channels) the compiler makes a few ways to cut: along channels and along rows the
fewest slices that fit CMX, and somewhat more, so that the transfers of one hide behind the computes of another. It
adds up what computing costs and what of the transfers is not hidden, and takes the least
(evidence/lowering.md#3.2; open compiler: tiling.cpp, multi_cluster_strategy_utils.cpp, output_pipeline_tiling.cpp).
Evidence: of 140 MatMuls of 1 to 4096 rows on each of 4000, 3720 and 5010, the split is the compiler's for 118 of the
121 that have a choice, 122 of 125 and 117 of 121, and where it is given the slices are for 133, 132 and 134.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf
from typing import Literal

from npusim.costs.dpu import choose_mode, cycles
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, channel_bytes, conv_work, geometry
from npusim.lowering.ir.nodes import Product
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, even, round_up
from npusim.lowering.tile.slices import LARGE_WEIGHTS, Cut

Axis = Literal["rows", "channels"]

#: Share of CMX that two slices may take of which inputs overlap; and that one, the inputs of the next and its rows
#: of the result may, where those of one axis are cut once more for it.
PIPELINE_SHARE, TIGHT_SHARE = 0.85, 0.95
#: Slices that pipelining may add: so many times those that fit; again so many for large operands; and for results.
MORE_SLICES, MORE_FOR_LARGE, MORE_FOR_RESULTS = 3, 2, 10
#: Channels of a tile to rows or columns of the op below which slices split over channels count as slower.
CHANNELS_TO_SIDE = 1.1
#: Rows a tile, and channels, that slices along both axes leave at least where they are to overlap.
WIDE_ROWS, WIDE_CHANNELS = 8, 64


@dataclass(frozen=True, slots=True)
class Behind:
    """The op just before, if it makes the activation: how long it computes, µs, and what it holds on a tile, bytes."""

    us: float = 0.0
    bytes: int = 0


NOTHING = Behind()


class Tiler:
    """The choices for one MatMul, costs in µs."""

    def __init__(self, node: Product, hw: Hardware, whole: bool = True, behind: Behind = NOTHING) -> None:
        """``whole``: a split over channels writes its result to every tile. An activation of which a padded
        copy is made costs nothing to a MatMul that is not sliced (197 rows x 96 x 96, on 3720 and 4000), nor does on
        3720 a constant one (cumba_*: 24 of 24 over channels)."""
        self.node, self.hw, self.whole, self.behind = node, hw, whole, behind
        self.rules = hw.software.tiling
        self.height, self.width = geometry(node, hw)
        padded = self.height * self.width != node.m
        self.fed = padded or (node.inputs[0].constant and hw.software.matmul_ties == "channels")
        self.channels = round_up(node.n, CHANNELS)
        self.reduced = round_up(node.k, CHANNELS)
        self.capacity = cmx_capacity(hw)
        self._row_bytes = self.width * self.reduced * node.inputs[0].bits // 8
        self._weight_bytes = channel_bytes(node) - TABLE_BYTES
        self._out_bytes = self.width * node.output.bits // 8
        self._computed: dict[tuple[Axis, int, int], float] = {}

    def choose(self) -> Axis:
        """The split over tiles that is estimated to take less: rows if it is about the same."""
        return min(self._splits(), key=self._estimate, default="channels")

    def _splits(self) -> list[Axis]:
        splits: list[Axis] = []
        if self.height >= self.hw.tiles:
            splits.append("rows")
        if self.channels >= 2 * CHANNELS:
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
        whole = self.fits(split, Cut())
        cut = Cut() if whole else self._best(split)
        if cut is None:
            return inf
        return self.cost(split, cut) * (1 if split == "rows" else self.rules.rows_preference)

    def cut(self, split: Axis) -> Cut:
        """The slices under a split, in their order."""
        cut = self._cut(split)
        return replace(cut, rows_first=self._rows_first(cut))

    def _cut(self, split: Axis) -> Cut:
        whole = self.fits(split, Cut())
        if whole and not self._large_weights(split):
            return Cut()
        best = self._best(split)
        if best is None:
            return Cut() if whole else Cut(self._most(split, "rows"), self._most(split, "channels"))
        return self._overlap_results(split, best)

    # -- what fits ----------------------------------------------------------------------------------------------

    def _large_weights(self, split: Axis) -> bool:
        weights = self.node.inputs[1]
        share = LARGE_WEIGHTS if weights.constant else self.rules.large_weights
        return self._bytes(split, self.height, self.channels)[1] > share * self.capacity

    def _bytes(self, split: Axis, rows: int, channels: int) -> tuple[int, int, int]:
        """Bytes on the fullest tile of the activation, weights and result of a slice."""
        tiles = self.hw.tiles
        if split == "rows":
            share = ceil_div(rows, tiles)
            return (
                share * self._row_bytes,
                channels * self._weight_bytes,
                share * channels * self._out_bytes,
            )
        own = ceil_div(channels // CHANNELS, tiles) * CHANNELS
        held = channels if self.whole else own
        return rows * self._row_bytes, own * self._weight_bytes, rows * held * self._out_bytes

    def _slices(self, cut: Cut) -> list[tuple[int, int]]:
        """(rows, channels) of every slice, in order; the first ones are the largest."""
        rows = even(self.height, cut.rows)
        each = round_up(ceil_div(self.channels, cut.channels), CHANNELS)
        channels = [each] * (cut.channels - 1) + [self.channels - each * (cut.channels - 1)]
        if self._rows_first(cut):
            return [(h, c) for h in rows for c in channels]
        return [(h, c) for c in channels for h in rows]

    def _extents(self, cut: Cut) -> tuple[list[int], list[int]]:
        """The rows, and the channels, that slices have, each once and the first slice's first; without listing the
        slices, of which a large matrix has thousands."""
        least, more = divmod(self.height, min(cut.rows, self.height))
        each = round_up(ceil_div(self.channels, cut.channels), CHANNELS)
        last = self.channels - each * (cut.channels - 1)
        return [least + 1, least] if more else [least], [each] if last == each else [each, last]

    def _second(self, cut: Cut) -> tuple[int, int]:
        """Rows and channels of the second slice."""
        rows, channels = self._extents(cut)
        pieces = min(cut.rows, self.height)
        if cut.channels > 1 and (self._rows_first(cut) or pieces == 1):
            return rows[0], channels[-1] if cut.channels == 2 else channels[0]
        return rows[0] if self.height % pieces > 1 else rows[-1], channels[0]

    def _rows_first(self, cut: Cut) -> bool:
        """Whether slices along both axes go through all channels of some rows before the next rows: less is moved."""
        activation = self.height * self.width * self.reduced
        return activation * cut.channels > self.channels * self.reduced * cut.rows

    def fits(self, split: Axis, cut: Cut) -> bool:
        """Whether every slice fits CMX by itself; its buffers are counted in steps of ``tiling.buffer_bytes``."""
        step = self.rules.buffer_bytes
        return self._possible(split, cut) and all(
            sum(round_up(size, step) for size in (*self._bytes(split, *one), TABLE_BYTES * one[1]))
            <= self.capacity
            for one in product(*self._extents(cut))
        )

    def _possible(self, split: Axis, cut: Cut) -> bool:
        """Whether every tile gets a row, or two tiles channels, in the smallest slice."""
        rows, channels = map(min, self._extents(cut))
        if split == "rows":
            return rows >= self.hw.tiles and channels > 0
        return channels >= 2 * CHANNELS

    def overlaps(self, split: Axis, cut: Cut, results: Literal["", "all", "tight"] = "") -> bool:
        """Whether CMX takes a slice and the inputs of the next. ``results``: and (all of) the next result as well."""
        if min(cut.rows, self.height) * cut.channels < 2 or not self._possible(split, cut):
            return False
        first, second = tuple(one[0] for one in self._extents(cut)), self._second(cut)
        now, then = self._bytes(split, *first), self._bytes(split, *second)
        nested = cut.rows > 1 and cut.channels > 1
        moving = then[1] if (self._rows_first(cut) if nested else cut.channels > 1) else then[0]
        more = sum(then) if results == "all" else moving + (then[2] if results else 0)
        tables = TABLE_BYTES * (first[1] + second[1])
        share = TIGHT_SHARE if results == "tight" else PIPELINE_SHARE
        return sum(now) + more + tables <= share * self.capacity and self._divides(cut.channels)

    def _divides(self, pieces: int) -> bool:
        """Slices that overlap have equal channels, unless those have hardly any divisors and are more than pixels."""
        if pieces == 1:
            return True
        if self.channels % (2 * CHANNELS) == 0 or self.channels < self.height * self.width:
            return self.channels % (pieces * CHANNELS) == 0
        return self.channels // pieces >= CHANNELS

    # -- candidates ---------------------------------------------------------------------------------------------

    def _best(self, split: Axis) -> Cut | None:
        found = list(dict.fromkeys(self._candidates(split)))
        return min(found, key=lambda cut: self.cost(split, cut), default=None)

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
            return ceil_div(self.height, least) if short else max(1, self.height // self._least_rows(split))
        least = WIDE_CHANNELS if wide else CHANNELS
        if split == "rows":
            return max(1, self.channels // least)
        tiles = self.hw.tiles
        if not wide:
            tiles = next((t for t in range(tiles, 1, -1) if self.channels % (least * t) == 0), tiles)
        return max(1, self.channels // (least * tiles))

    def _least_rows(self, split: Axis) -> int:
        return self.hw.tiles if split == "rows" else 1

    def _next(self, cut: Cut, axis: Axis) -> Cut:
        """One more slice along an axis; along channels so many that none is empty."""
        if axis == "rows":
            return Cut(cut.rows + 1, cut.channels)
        pieces = cut.channels + 1
        while pieces <= self.channels // CHANNELS and self._last_channels(pieces) <= 0:
            pieces += 1
        return Cut(cut.rows, pieces)

    def _last_channels(self, pieces: int) -> int:
        return self.channels - round_up(ceil_div(self.channels, pieces), CHANNELS) * (pieces - 1)

    def _along(self, split: Axis, start: Cut, axis: Axis) -> Cut | None:
        """The fewest slices along one axis that fit."""
        most, cut = self._most(split, axis, short=True), start
        while getattr(cut, axis) <= most:
            if self.fits(split, cut):
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
        while getattr(low, first) < getattr(cut, first) and not self.fits(split, low):
            low = self._next(low, first)
        return low

    def _pipelined(self, split: Axis, cut: Cut) -> Cut | None:
        """Somewhat more slices, of which the inputs of one come while another computes."""
        if cut.rows > 1 and cut.channels > 1:
            return self._pipelined_both(split, cut) if self.rules.nested_overlap else None
        axis: Axis = "rows" if cut.rows > 1 else "channels"
        found = self._grow(
            split, cut, axis, MORE_SLICES * getattr(cut, axis), lambda c: self.overlaps(split, c)
        )
        if found is None:
            return None
        larger = MORE_FOR_LARGE * getattr(found, axis)
        small = self._grow(
            split, found, axis, larger, lambda c: self._small(split, c) and self.overlaps(split, c)
        )
        return small or found

    def _pipelined_both(self, split: Axis, cut: Cut) -> Cut | None:
        inner: Axis = "channels" if self._rows_first(cut) else "rows"
        outer: Axis = "rows" if inner == "channels" else "channels"
        rows, channels = (self._most(split, axis, wide=True, short=True) for axis in ("rows", "channels"))
        most = {
            axis: min(getattr(cut, axis) * MORE_SLICES, rows if axis == "rows" else channels)
            for axis in (inner, outer)
        }
        now = Cut(min(cut.rows, rows), min(cut.channels, channels))
        while True:
            while not self.overlaps(split, now) and getattr(now, inner) < most[inner]:
                now = self._next(now, inner)
            if self.overlaps(split, now):
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

    def _small(self, split: Axis, cut: Cut) -> bool:
        """Whether no operand of a slice that comes or goes with every slice is large."""
        act, weights, out = self._bytes(split, *(one[0] for one in self._extents(cut)))
        if cut.channels > 1 and weights >= self.rules.large_weights * self.capacity:
            return False
        limit = self.rules.large_activations * self.capacity
        return out < limit and (cut.rows == 1 or act < limit)

    def _overlap_results(self, split: Axis, cut: Cut) -> Cut:
        """More slices, so that the result of one leaves while the next one computes, where that is estimated to pay."""
        if cut.rows > 1 and cut.channels > 1:
            return cut
        axis: Axis = "rows" if cut.rows > 1 else "channels"
        kinds: tuple[Literal["all", "tight"], ...] = ("all", "tight") if axis == "rows" else ("all",)
        for kind in kinds:
            most = MORE_FOR_RESULTS * getattr(cut, axis)
            more = self._grow(split, cut, axis, most, partial(self.overlaps, split, results=kind))
            if more is not None and self.cost(split, more) < self.rules.finer_tolerance * self.cost(
                split, cut
            ):
                return more
        return cut

    # -- costs --------------------------------------------------------------------------------------------------

    def cost(self, split: Axis, cut: Cut) -> float:
        """Computing, and what of the transfers is not hidden behind it, as the compiler adds it up, µs."""
        slices = self._slices(cut)
        computes = [self._computes(split, *one) for one in slices]
        tall = max(self.height, self.width) * CHANNELS_TO_SIDE > self.channels / self.hw.tiles
        if split == "channels" and len(slices) > 1 and tall:
            computes = [self.rules.channels_penalty * us for us in computes]
        acts, weights, outs = zip(*(self._transfers(split, *one) for one in slices), strict=True)
        hidden = self.overlaps(split, cut)
        total = sum(computes) - self._hidden_before(weights[0], self._bytes(split, *slices[0])[1])
        if cut.rows > 1 and cut.channels > 1 and not self._rows_first(cut):
            total += _exposed(weights[: cut.channels], computes[: cut.channels], hidden)
        else:
            total += _exposed(weights, computes, hidden) if cut.channels > 1 else weights[0]
        if cut.rows > 1:
            total += _exposed(acts, computes, hidden, shorten=True)
        elif len(slices) > 1 or not self.fed:
            total += acts[0]
        if not self.fits(split, Cut()):
            backwards = outs[::-1], computes[::-1]
            total += _exposed(*backwards, self.overlaps(split, cut, "all"))
        return total

    def _hidden_before(self, transfer_us: float, size: int) -> float:
        """How much of the transfer of the first weights hides behind the op before, where CMX takes them beside it."""
        return min(transfer_us, self.behind.us) if size + self.behind.bytes <= self.capacity else 0.0

    def _computes(self, split: Axis, rows: int, channels: int) -> float:
        key = (split, rows, channels)
        if key not in self._computed:
            tiles = self.hw.tiles
            shared = channels
            if split == "rows":
                rows = ceil_div(rows, tiles)
            else:
                channels = ceil_div(channels // CHANNELS, tiles) * CHANNELS
                shared = shared if self.whole and self.hw.software.broadcast_output else channels
            mode = choose_mode(rows, self.width, shared, self.hw)
            work = conv_work(rows, self.width, channels, self.reduced, self.node, mode, self.hw)
            self._computed[key] = cycles(work, self.hw) / self.hw.clocks.dpu_mhz
        return self._computed[key]

    def _transfers(self, split: Axis, rows: int, channels: int) -> tuple[float, float, float]:
        """How long the transfers of activation, weights and result of a slice take, µs."""
        tiles = self.hw.tiles
        if split == "rows":
            shares = [share for share in even(rows, tiles) if share]
            acts = [share * self._row_bytes for share in shares]
            weights = [channels * self._weight_bytes]
            outs = [share * channels * self._out_bytes for share in shares]
        else:
            acts = [rows * self._row_bytes]
            weights = [own * self._weight_bytes for own in even(channels, tiles, CHANNELS)]
            outs = [rows * channels * self._out_bytes]
        line = channels if split == "rows" else ceil_div(channels // CHANNELS, tiles) * CHANNELS
        strided = self.rules.short_line_bytes / (line * self.node.output.bits // 8)
        factor = max(1.0, strided) if channels < self.channels else 1.0
        return self._moves(acts), self._moves(weights), factor * self._moves(outs)

    def _moves(self, sizes: Sequence[int]) -> float:
        """Estimate of transfers, one a tile, that the engines share, µs."""
        rules, engines = self.rules, min(self.hw.dma.engines, self.hw.tiles)
        if rules.shared_by == "largest":
            return rules.dma_latency_us + max(sizes) / rules.dma_gbps / 1e3
        if len(sizes) == 1:
            return rules.dma_latency_us + sizes[0] / rules.dma_gbps / 1e3
        if rules.shared_by == "mean":
            return sum(rules.dma_latency_us + size / rules.dma_gbps / 1e3 for size in sizes) / engines
        return (
            rules.dma_latency_us + max(sum(sizes[e::engines]) for e in range(engines)) / rules.dma_gbps / 1e3
        )


def _exposed(transfers: Sequence[float], computes: list[float], hidden: bool, shorten: bool = False) -> float:
    """What is seen of the transfers of all slices where those of one run while the slice before computes: the first,
    and of the others what is longer. ``shorten``: what they hide behind hides nothing else."""
    if not hidden:
        return sum(transfers)
    total = transfers[0]
    for i, (transfer, compute) in enumerate(zip(transfers[1:], list(computes), strict=False)):
        total += max(0.0, transfer - compute)
        if shorten:
            computes[i] = max(0.0, compute - transfer)
    return total
