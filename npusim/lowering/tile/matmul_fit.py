"""What of a MatMul or convolution fits the scratchpad: sizes and order of its slices, and which of two overlap."""

from __future__ import annotations

from itertools import product
from typing import Literal

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, channel_bytes, geometry
from npusim.lowering.ir.nodes import POINT, Product
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ceil_div, even, round_up
from npusim.lowering.tile.slices import LARGE_WEIGHTS, Cut

#: What the tiles share, or slices cut.
Axis = Literal["rows", "channels"]

#: Share of CMX that two slices may take of which inputs overlap.
PIPELINE_SHARE = 0.85


def is_windowed(node: Product) -> bool:
    """Whether a window slides over the rows of an image of more than one dimension."""
    return node.window is not None and len(node.inputs[0].shape) == 4


class Fit:
    """The sizes of one MatMul or convolution: rows (``height`` of ``width`` pixels), ``channels`` and the ``reduced``
    dimension, padded, and the bytes of a row that is read, of a channel's weights and of a channel of a row of the
    result."""

    def __init__(self, node: Product, hw: Hardware, whole: bool) -> None:
        """``whole``: a split over channels writes its result to every tile."""
        self.node, self.hw, self.whole = node, hw, whole
        self.rules = hw.software.tiling
        self.height, self.width = geometry(node, hw)
        self.channels = round_up(node.n, CHANNELS)
        self.reduced = round_up(node.k, CHANNELS)
        self.capacity = cmx_capacity(hw)
        act = node.inputs[0]
        self.window, self.in_rows, read = POINT, self.height, self.height * self.width
        if is_windowed(node):
            assert node.window is not None
            self.window, self.in_rows, read = node.window, act.shape[2], act.elements // node.k
        self.row_bytes = read // self.in_rows * self.reduced * act.bits // 8
        self.weight_bytes = channel_bytes(node) - TABLE_BYTES
        self.out_bytes = self.width * node.output.bits // 8

    def act_bytes(self, rows: int) -> int:
        """Bytes of what so many rows of the result are computed from, halo included."""
        window = self.window
        read = ceil_div((rows - 1) * window.stride[0] + window.kernel[0], window.grown)
        return min(read, self.in_rows) * self.row_bytes

    def large_weights(self, split: Axis) -> bool:
        """Whether a tile's weights are so large that they are cut although all fits."""
        weights = self.node.inputs[1]
        share = LARGE_WEIGHTS if weights.constant else self.rules.large_weights
        return self.bytes(split, self.height, self.channels)[1] > share * self.capacity

    def bytes(self, split: Axis, rows: int, channels: int) -> tuple[int, int, int]:
        """Bytes on the fullest tile of the activation, weights and result of a slice."""
        tiles = self.hw.tiles
        if split == "rows":
            share = ceil_div(rows, tiles)
            return (
                self.act_bytes(share),
                channels * self.weight_bytes,
                share * channels * self.out_bytes,
            )
        own = ceil_div(channels // CHANNELS, tiles) * CHANNELS
        held = channels if self.whole else own
        return self.act_bytes(rows), own * self.weight_bytes, rows * held * self.out_bytes

    def slices(self, cut: Cut) -> list[tuple[int, int]]:
        """(rows, channels) of every slice, in order; the first ones are the largest."""
        rows = even(self.height, cut.rows)
        each = round_up(ceil_div(self.channels, cut.channels), CHANNELS)
        channels = [each] * (cut.channels - 1) + [self.channels - each * (cut.channels - 1)]
        if self.rows_first(cut):
            return [(h, c) for h in rows for c in channels]
        return [(h, c) for c in channels for h in rows]

    def extents(self, cut: Cut) -> tuple[list[int], list[int]]:
        """The rows, and the channels, that slices have, each once and the first slice's first; without listing the
        slices, of which a large matrix has thousands."""
        least, more = divmod(self.height, min(cut.rows, self.height))
        each = round_up(ceil_div(self.channels, cut.channels), CHANNELS)
        last = self.channels - each * (cut.channels - 1)
        return [least + 1, least] if more else [least], [each] if last == each else [each, last]

    def _second(self, cut: Cut) -> tuple[int, int]:
        """Rows and channels of the second slice."""
        rows, channels = self.extents(cut)
        pieces = min(cut.rows, self.height)
        if cut.channels > 1 and (self.rows_first(cut) or pieces == 1):
            return rows[0], channels[-1] if cut.channels == 2 else channels[0]
        return rows[0] if self.height % pieces > 1 else rows[-1], channels[0]

    def rows_first(self, cut: Cut) -> bool:
        """Whether slices along both axes go through all channels of some rows before the next rows: less is moved."""
        activation, weights = self.act_bytes(self.height), self.channels * self.weight_bytes
        return activation * cut.channels > weights * cut.rows

    def fits(self, split: Axis, cut: Cut) -> bool:
        """Whether every slice fits CMX by itself; its buffers are counted in steps of ``tiling.buffer_bytes``."""
        step = self.rules.buffer_bytes
        return self._possible(split, cut) and all(
            sum(round_up(size, step) for size in (*self.bytes(split, *one), TABLE_BYTES * one[1]))
            <= self.capacity
            for one in product(*self.extents(cut))
        )

    def _possible(self, split: Axis, cut: Cut) -> bool:
        """Whether every tile gets a row, or two tiles channels, in the smallest slice."""
        rows, channels = map(min, self.extents(cut))
        if split == "rows":
            return rows >= self.hw.tiles and channels > 0
        return channels >= 2 * CHANNELS

    def overlaps(self, split: Axis, cut: Cut, results: bool = False) -> bool:
        """Whether CMX takes a slice and the inputs of the next. ``results``: and all else of the next as well."""
        if min(cut.rows, self.height) * cut.channels < 2 or not self._possible(split, cut):
            return False
        first, second = tuple(one[0] for one in self.extents(cut)), self._second(cut)
        now, then = self.bytes(split, *first), self.bytes(split, *second)
        nested = cut.rows > 1 and cut.channels > 1
        moving = then[1] if (self.rows_first(cut) if nested else cut.channels > 1) else then[0]
        held = sum(now) + (sum(then) if results else moving) + TABLE_BYTES * (first[1] + second[1])
        return held <= PIPELINE_SHARE * self.capacity and self._divides(cut.channels)

    def _divides(self, pieces: int) -> bool:
        """Slices that overlap have equal channels, unless those have hardly any divisors and are more than pixels."""
        if pieces == 1:
            return True
        if self.channels % (2 * CHANNELS) == 0 or self.channels < self.height * self.width:
            return self.channels % (pieces * CHANNELS) == 0
        return self.channels // pieces >= CHANNELS

    def small(self, split: Axis, cut: Cut) -> bool:
        """Whether no operand of a slice that comes or goes with every slice is large."""
        act, weights, out = self.bytes(split, *(one[0] for one in self.extents(cut)))
        if cut.channels > 1 and weights >= self.rules.large_weights * self.capacity:
            return False
        limit = self.rules.large_activations * self.capacity
        return out < limit and (cut.rows == 1 or act < limit)
